# Of _build.py, which CMake writes from cmake/_build.py.in.

LLAMA_CPP_PACKAGE: str
LLAMA_CPP_VERSION: str
LLAMA_CPP_SHA256: str
GGML_VERSION: str
BACKENDS: tuple[str, ...]
CPU: str
CPU_FLAGS: str
SANITIZER: str
