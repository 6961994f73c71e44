# The options of the build. Each is a CMake define (-DNAME=value) with an environment variable of the
# same name, because pip gives users no simple way to pass defines.
#
# The result is an ordinary variable, never a cache entry: the build folder outlives one configure, and
# an environment variable that is no longer set must stop having an effect.

function(pyollama_option name default doc)
    if(DEFINED CACHE{${name}})
        set(value "$CACHE{${name}}")
    elseif(NOT "$ENV{${name}}" STREQUAL "")
        set(value "$ENV{${name}}")
    else()
        set(value "${default}")
    endif()
    set(${name} "${value}" PARENT_SCOPE)
endfunction()

# Compiler warnings in our own code are errors, except for people who build a source distribution: a
# compiler that is newer than the release must not stop an installation.
if(EXISTS "${PROJECT_SOURCE_DIR}/PKG-INFO")
    set(werror_default OFF)
else()
    set(werror_default ON)
endif()

if(APPLE)
    set(metal_default ON)
else()
    set(metal_default OFF)
endif()

pyollama_option(PYOLLAMA_LLAMA_CPP_DIR "" "build this llama.cpp checkout instead of the pinned one; no network")
pyollama_option(PYOLLAMA_PORTABLE OFF "one CPU library per instruction set, chosen when the package is used")
pyollama_option(PYOLLAMA_CUDA OFF "build the CUDA backend")
pyollama_option(PYOLLAMA_HIP OFF "build the ROCm backend")
pyollama_option(PYOLLAMA_METAL ${metal_default} "build the Metal backend")
pyollama_option(PYOLLAMA_VULKAN OFF "build the Vulkan backend")
pyollama_option(PYOLLAMA_OPENMP OFF "OpenMP instead of ggml's own threads; only for measuring")
pyollama_option(PYOLLAMA_SANITIZE "" "address, undefined or thread")
pyollama_option(PYOLLAMA_CCACHE ON "use ccache where it is installed")
pyollama_option(PYOLLAMA_WERROR ${werror_default} "warnings in our own native code are errors")
pyollama_option(PYOLLAMA_PEERS OFF "build llama.cpp's own programs for comparison, and nothing of ours")

if(NOT PYOLLAMA_SANITIZE MATCHES "^(address|undefined|thread|)$")
    message(FATAL_ERROR
        "PYOLLAMA_SANITIZE is '${PYOLLAMA_SANITIZE}'. Use address, undefined or thread, or leave it empty.")
endif()
