# llama.cpp's own programs, compiled with the same flags against the same libraries as the wheel, so that
# benchmarks compare programs and not builds. They stay in the build folder.

add_custom_target(peers ALL DEPENDS llama-bench llama-batched-bench llama-server)
