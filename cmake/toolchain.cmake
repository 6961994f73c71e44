# Compiler and linker settings that hold for llama.cpp and for our own code alike.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release)
endif()

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(BUILD_SHARED_LIBS ON)

# Everything lies in one folder, in the build tree as in the wheel, and finds its neighbours there. The
# package then needs nothing of the system and does not care where it is unpacked.
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
if(APPLE)
    set(CMAKE_INSTALL_RPATH "@loader_path")
else()
    set(CMAKE_INSTALL_RPATH "$ORIGIN")
endif()

# GCC gives inline variables and function statics of templates the binding STB_GNU_UNIQUE: one copy per
# process, whatever the scope a library was loaded in. Another package's copy of llama.cpp in the same
# process would then share state with ours.
add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)

if(PYOLLAMA_SANITIZE)
    add_compile_options(-fsanitize=${PYOLLAMA_SANITIZE} -fno-omit-frame-pointer -g)
    add_link_options(-fsanitize=${PYOLLAMA_SANITIZE})
    if(PYOLLAMA_SANITIZE STREQUAL "undefined")
        # A report that nobody reads is no report.
        add_compile_options(-fno-sanitize-recover=undefined)
    endif()
endif()

# llama.cpp joins its model files into larger sources. With absolute paths in those, no cached result fits
# another folder, and the library names the folders of the machine that built it. Needs CMake 4.0; ignored before.
set(CMAKE_UNITY_BUILD_RELOCATABLE ON)

set(PYOLLAMA_CCACHE_FOUND "off")
if(PYOLLAMA_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(PYOLLAMA_CCACHE_PROGRAM ccache)
    find_program(PYOLLAMA_ENV_PROGRAM env)
    if(PYOLLAMA_CCACHE_PROGRAM AND PYOLLAMA_ENV_PROGRAM)
        # With the base folder the cache also serves other clones and unpacked source distributions.
        # Not "cmake -E env": under pip's build isolation CMake's path is new at every run, and a new
        # command line would recompile everything.
        set(CMAKE_CXX_COMPILER_LAUNCHER
            "${PYOLLAMA_ENV_PROGRAM}" "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" "${PYOLLAMA_CCACHE_PROGRAM}")
        set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
        set(PYOLLAMA_CCACHE_FOUND "${PYOLLAMA_CCACHE_PROGRAM}")
    else()
        set(PYOLLAMA_CCACHE_FOUND "not found")
    endif()
endif()
