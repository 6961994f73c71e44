"""Model files: the check of a GGUF header, and later import, quantizing and adapters.

`GGUFHeader` reads and checks the header of a GGUF file in bounded time and memory before native code does.
"""

from pyollama.convert.gguf_header import GGUFArray, GGUFHeader, SplitInfo, TensorInfo
from pyollama.convert.gguf_types import FILE_TYPES, TENSOR_TYPES, TensorType

__all__ = [
    "FILE_TYPES",
    "TENSOR_TYPES",
    "GGUFArray",
    "GGUFHeader",
    "SplitInfo",
    "TensorInfo",
    "TensorType",
]
