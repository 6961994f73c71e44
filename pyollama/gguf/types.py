"""What a GGUF header consists of: value types, tensor types and file types as llama.cpp numbers them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = [
    "ARRAY",
    "FILE_TYPES",
    "SCALARS",
    "STRING",
    "TENSOR_TYPES",
    "GGUFArray",
    "ScalarType",
    "SplitInfo",
    "TensorInfo",
    "TensorType",
    "Value",
]


class ScalarType(msgspec.Struct, frozen=True):
    """A metadata value of fixed size: its name, its letter in `struct`, its size in bytes."""

    name: str
    code: str
    size: int


SCALARS: dict[int, ScalarType] = {
    0: ScalarType("uint8", "B", 1),
    1: ScalarType("int8", "b", 1),
    2: ScalarType("uint16", "H", 2),
    3: ScalarType("int16", "h", 2),
    4: ScalarType("uint32", "I", 4),
    5: ScalarType("int32", "i", 4),
    6: ScalarType("float32", "f", 4),
    7: ScalarType("bool", "?", 1),
    10: ScalarType("uint64", "Q", 8),
    11: ScalarType("int64", "q", 8),
    12: ScalarType("float64", "d", 8),
}
"""Metadata values of fixed size, by their number in the file."""

STRING = 8
ARRAY = 9


class TensorType(msgspec.Struct, frozen=True):
    """How the numbers of a tensor are stored.

    Args:
        name: As llama.cpp writes it, in upper case: ``Q4_K``.
        block: Numbers in one block; a row is a whole number of blocks.
        nbytes: Bytes of one block.
        weights: Whether it can hold the weights of a matrix. Integers, doubles and the types that only occur
            inside a computation cannot: no multiplication is defined for them.
    """

    name: str
    block: int
    nbytes: int
    weights: bool = True

    @property
    def is_quantized(self) -> bool:
        """Whether several numbers share one block."""
        return self.block > 1


TENSOR_TYPES: dict[int, TensorType] = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    9: TensorType("Q8_1", 32, 36, weights=False),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    15: TensorType("Q8_K", 256, 292, weights=False),
    16: TensorType("IQ2_XXS", 256, 66),
    17: TensorType("IQ2_XS", 256, 74),
    18: TensorType("IQ3_XXS", 256, 98),
    19: TensorType("IQ1_S", 256, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", 256, 110),
    22: TensorType("IQ2_S", 256, 82),
    23: TensorType("IQ4_XS", 256, 136),
    24: TensorType("I8", 1, 1, weights=False),
    25: TensorType("I16", 1, 2, weights=False),
    26: TensorType("I32", 1, 4, weights=False),
    27: TensorType("I64", 1, 8, weights=False),
    28: TensorType("F64", 1, 8, weights=False),
    29: TensorType("IQ1_M", 256, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", 256, 54),
    35: TensorType("TQ2_0", 256, 66),
    39: TensorType("MXFP4", 32, 17),
    40: TensorType("NVFP4", 64, 36),
    41: TensorType("Q1_0", 128, 18),
    42: TensorType("Q2_0", 64, 18),
}
"""Tensor types by their number in the file. Numbers that are missing were removed from the format."""

FILE_TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}
"""Quantization level by ``general.file_type``."""


class GGUFArray(msgspec.Struct, frozen=True):
    """An array of the metadata, left in the file. `GGUFHeader.array` reads it.

    Args:
        type: Type of the elements: ``string``, ``uint32``, ``float32``, ...
        length: Number of elements.
        offset: Where the elements begin, in bytes from the start of the file.
        nbytes: Their size.
    """

    type: str
    length: int
    offset: int
    nbytes: int


class TensorInfo(msgspec.Struct, frozen=True):
    """One tensor.

    Args:
        name: Its name, such as ``blk.0.attn_q.weight``.
        shape: Numbers per dimension, the fastest varying first; empty for a single number.
        type: How the numbers are stored.
        offset: Where they begin, in bytes from the start of the file.
        nbytes: Their size.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    nbytes: int

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        count = 1
        for n in self.shape:
            count *= n
        return count


class SplitInfo(msgspec.Struct, frozen=True):
    """Which part of a split model a file is: part ``no``, from 0, of ``count``; ``tensors`` in all parts."""

    no: int
    count: int
    tensors: int


Value: TypeAlias = int | float | bool | str | GGUFArray
"""A metadata value."""
