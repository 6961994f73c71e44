# What goes into the wheel besides the Python files, which scikit-build-core takes from pyollama/.
# Everything is in the component "pyollama"; llama.cpp's own install rules are never run.

configure_file("${PROJECT_SOURCE_DIR}/cmake/_build.py.in" "${CMAKE_BINARY_DIR}/_build.py" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/_build.py" DESTINATION pyollama COMPONENT pyollama)

# llama.cpp is left out of "all": only what our targets need is compiled. Loadable backends are needed
# by no target, so they are named here.
add_custom_target(pyollama-backends ALL DEPENDS ${PYOLLAMA_LLAMA_LIBRARIES})

install(TARGETS ${PYOLLAMA_LLAMA_LIBRARIES} pyollama-engine ${PYOLLAMA_EXTENSIONS}
    LIBRARY DESTINATION pyollama/native COMPONENT pyollama
    RUNTIME DESTINATION pyollama/native COMPONENT pyollama)

# llama.cpp's converter, run in a process of its own. Its gguf module must be the one of the same tree.
set(converter pyollama/convert/llama_cpp)
install(
    FILES
        "${llama_cpp_dir}/convert_hf_to_gguf.py"
        "${llama_cpp_dir}/convert_lora_to_gguf.py"
        "${llama_cpp_dir}/LICENSE"
    DESTINATION ${converter} COMPONENT pyollama)
install(DIRECTORY "${llama_cpp_dir}/conversion" DESTINATION ${converter} COMPONENT pyollama
    FILES_MATCHING PATTERN "*.py")
install(DIRECTORY "${llama_cpp_dir}/gguf-py/gguf" DESTINATION ${converter}/gguf-py COMPONENT pyollama
    FILES_MATCHING PATTERN "*.py")
