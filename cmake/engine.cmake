# libpyollama-engine: the C++ engine and the chat layer, with nothing exported but what csrc/engine/export.h
# marks.

set(PYOLLAMA_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
if(PYOLLAMA_WERROR)
    list(APPEND PYOLLAMA_WARNINGS -Werror)
endif()

file(GLOB engine_sources CONFIGURE_DEPENDS
    "${PROJECT_SOURCE_DIR}/csrc/engine/*.cpp"
    "${PROJECT_SOURCE_DIR}/csrc/chat/*.cpp")

find_package(Threads REQUIRED)

add_library(pyollama-engine SHARED ${engine_sources})
target_include_directories(pyollama-engine PUBLIC "${PROJECT_SOURCE_DIR}/csrc")
target_compile_definitions(pyollama-engine PRIVATE PYOLLAMA_BUILDING_ENGINE)
target_compile_options(pyollama-engine PRIVATE ${PYOLLAMA_WARNINGS})
target_link_libraries(pyollama-engine PUBLIC llama ggml PRIVATE pyollama-common Threads::Threads)
set_target_properties(pyollama-engine PROPERTIES
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
if(APPLE)
    target_link_options(pyollama-engine PRIVATE LINKER:-dead_strip) # see chat_common.cmake
else()
    # llama.cpp's common stays private to this library, even where a header asks for default visibility.
    target_link_options(pyollama-engine PRIVATE LINKER:--gc-sections LINKER:--exclude-libs,ALL)
    if(NOT PYOLLAMA_SANITIZE)
        # A missing symbol is an error here, not at a user's first import. A sanitizer's own symbols come
        # from the process.
        target_link_options(pyollama-engine PRIVATE LINKER:--no-undefined)
    endif()
endif()
