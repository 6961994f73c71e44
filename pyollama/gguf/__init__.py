"""GGUF model files: the header, checked before native code sees it.

`GGUFHeader` reads and checks the header of a GGUF file in bounded time and memory before native code does.
"""

from pyollama.gguf.header import GGUFArray, GGUFHeader, SplitInfo, TensorInfo
from pyollama.gguf.types import FILE_TYPES, TENSOR_TYPES, TensorType

__all__ = [
    "FILE_TYPES",
    "TENSOR_TYPES",
    "GGUFArray",
    "GGUFHeader",
    "SplitInfo",
    "TensorInfo",
    "TensorType",
]
