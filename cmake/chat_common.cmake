# The parts of llama.cpp's "common" library that chat templates, tool-call parsing and JSON schemas need,
# as a static library inside libpyollama-engine. An explicit list, because the rest (downloads, the HTTP
# client, the hub cache, argument parsing) must stay out of reach and takes minutes to compile.
#
# common.cpp is here for a dozen functions over strings and tokens. It also loads models, and for that
# calls into files that are not in the list: each function gets a section of its own, and the linker drops
# the sections that nothing reaches before it asks for their symbols.

set(common_dir "${llama_cpp_dir}/common")
include("${common_dir}/parsers/sources.cmake") # sets LLAMA_CHAT_PARSERS_SOURCES

set(common_sources
    chat-auto-parser-generator.cpp
    chat-auto-parser-helpers.cpp
    chat-diff-analyzer.cpp
    chat-peg-parser.cpp
    chat.cpp
    common.cpp
    jinja/caps.cpp
    jinja/lexer.cpp
    jinja/parser.cpp
    jinja/runtime.cpp
    jinja/string.cpp
    jinja/value.cpp
    json-schema-to-grammar.cpp
    json-schema.cpp
    json.cpp
    log.cpp
    peg-parser.cpp
    trie.cpp
    unicode.cpp
)
list(TRANSFORM common_sources PREPEND "${common_dir}/")

add_library(pyollama-common STATIC EXCLUDE_FROM_ALL ${common_sources} ${LLAMA_CHAT_PARSERS_SOURCES})
target_include_directories(pyollama-common SYSTEM PUBLIC "${common_dir}" "${llama_cpp_dir}/vendor")
target_link_libraries(pyollama-common PUBLIC llama)
target_compile_options(pyollama-common PRIVATE -ffunction-sections -fdata-sections)
set_target_properties(pyollama-common PROPERTIES
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
