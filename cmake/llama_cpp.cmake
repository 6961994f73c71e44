# llama.cpp: where its source comes from, how it is configured, how its libraries are named.

find_package(Python 3.11 REQUIRED COMPONENTS Interpreter)

if(PYOLLAMA_LLAMA_CPP_DIR)
    cmake_path(ABSOLUTE_PATH PYOLLAMA_LLAMA_CPP_DIR BASE_DIRECTORY "${PROJECT_SOURCE_DIR}"
        NORMALIZE OUTPUT_VARIABLE llama_cpp_dir)
    if(NOT EXISTS "${llama_cpp_dir}/include/llama.h")
        message(FATAL_ERROR
            "PYOLLAMA_LLAMA_CPP_DIR is '${PYOLLAMA_LLAMA_CPP_DIR}', but there is no include/llama.h in it. "
            "Give the root of a llama.cpp checkout, or unset it to build the pinned version.")
    endif()
    set(llama_cpp_package "checkout")
    set(llama_cpp_version "unpinned")
    set(llama_cpp_sha256 "")
    set(llama_cpp_origin "PYOLLAMA_LLAMA_CPP_DIR; not checked against the pin")
else()
    # The script alone knows the pin and the shape of the archive. It costs milliseconds where the tree
    # is already there.
    execute_process(
        COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/vendor/bring.py"
        OUTPUT_VARIABLE bring_output
        OUTPUT_STRIP_TRAILING_WHITESPACE
        RESULT_VARIABLE bring_result)
    if(NOT bring_result EQUAL 0)
        message(FATAL_ERROR "llama.cpp could not be brought; the reason is above.")
    endif()
    foreach(key IN ITEMS dir package version sha256 origin)
        string(REGEX MATCH "(^|\n)${key}=([^\n]*)" unused "${bring_output}")
        set(llama_cpp_${key} "${CMAKE_MATCH_2}")
    endforeach()
    # A new pin must reach an existing build folder.
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
        "${PROJECT_SOURCE_DIR}/vendor/llama.cpp.toml" "${PROJECT_SOURCE_DIR}/vendor/bring.py")
endif()

# No libgomp: it would be a dependency outside the package, its threads spin, it clashes with torch's own
# copy, and it hides races from ThreadSanitizer.
set(GGML_OPENMP ${PYOLLAMA_OPENMP})
set(GGML_CCACHE OFF) # ours, above
set(LLAMA_OPENSSL OFF)
set(LLAMA_SUBPROCESS OFF)
set(LLAMA_BUILD_TESTS OFF)
set(LLAMA_BUILD_EXAMPLES OFF)
set(LLAMA_BUILD_APP OFF)
set(LLAMA_BUILD_MTMD OFF)
# The whole "common" library holds downloads, an HTTP client and argument parsing; chat_common.cmake
# takes the few parts that we use.
set(LLAMA_BUILD_COMMON ${PYOLLAMA_PEERS})
set(LLAMA_BUILD_TOOLS ${PYOLLAMA_PEERS})
set(LLAMA_BUILD_SERVER ${PYOLLAMA_PEERS})
set(LLAMA_BUILD_UI OFF)
set(LLAMA_USE_PREBUILT_UI OFF) # would download

if(PYOLLAMA_PORTABLE)
    set(GGML_NATIVE OFF)
    set(GGML_BACKEND_DL ON)
    set(GGML_CPU_ALL_VARIANTS ON)
    set(PYOLLAMA_CPU "portable")
else()
    set(GGML_NATIVE ON)
    set(GGML_BACKEND_DL OFF)
    set(GGML_CPU_ALL_VARIANTS OFF)
    set(PYOLLAMA_CPU "native")
endif()
set(GGML_CUDA ${PYOLLAMA_CUDA})
set(GGML_HIP ${PYOLLAMA_HIP})
set(GGML_METAL ${PYOLLAMA_METAL})
set(GGML_METAL_EMBED_LIBRARY ${PYOLLAMA_METAL})
set(GGML_VULKAN ${PYOLLAMA_VULKAN})

# llama.cpp asks git for its commit and would find ours, or none in a source distribution.
set(LLAMA_BUILD_NUMBER 0)
set(LLAMA_BUILD_COMMIT "${llama_cpp_version}")
set(GIT_EXE "")

# A path outside this tree needs a binary folder of its own; the same one for both keeps builds alike.
# SYSTEM: warnings in its headers are not ours to repair.
add_subdirectory("${llama_cpp_dir}" "${CMAKE_BINARY_DIR}/llama.cpp" EXCLUDE_FROM_ALL SYSTEM)

get_directory_property(ggml_version DIRECTORY "${llama_cpp_dir}/ggml" DEFINITION GGML_VERSION_BASE)

# The list is cached inside llama.cpp and keeps the names of earlier configurations.
set(ggml_backends "")
foreach(backend IN LISTS GGML_AVAILABLE_BACKENDS)
    if(TARGET ${backend})
        list(APPEND ggml_backends ${backend})
    endif()
endforeach()

# Names of our own: other packages carry libllama and libggml too, and the loader takes a library of the
# same name that is already loaded. No version: a wheel stores a symbolic link as a second copy.
set(PYOLLAMA_LLAMA_LIBRARIES ggml-base ggml llama ${ggml_backends})
foreach(library IN LISTS PYOLLAMA_LLAMA_LIBRARIES)
    set_property(TARGET ${library} PROPERTY VERSION)
    set_property(TARGET ${library} PROPERTY SOVERSION)
    set_property(TARGET ${library} PROPERTY PUBLIC_HEADER)
    get_target_property(type ${library} TYPE)
    # ggml looks for loadable backends by its own file names, in the folder that we give it.
    if(NOT type STREQUAL "MODULE_LIBRARY")
        set_property(TARGET ${library} PROPERTY OUTPUT_NAME "pyollama-${library}")
    endif()
endforeach()

set(PYOLLAMA_CPU_FLAGS "")
if(TARGET ggml-cpu)
    get_target_property(cpu_compile_options ggml-cpu COMPILE_OPTIONS)
    foreach(flag IN LISTS cpu_compile_options)
        if(flag MATCHES "^(-m[a-z0-9=.+_-]+|/arch:.*)$")
            list(APPEND PYOLLAMA_CPU_FLAGS "${flag}")
        endif()
    endforeach()
endif()
