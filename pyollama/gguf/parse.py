"""The structure of a GGUF header: counts, keys, values and the table of tensors, each within its limits."""

from __future__ import annotations

import struct

import msgspec

from pyollama.gguf.reader import Reader
from pyollama.gguf.types import (
    ARRAY,
    SCALARS,
    STRING,
    TENSOR_TYPES,
    GGUFArray,
    TensorInfo,
    TensorType,
    Value,
)

__all__ = ["MAX_HEADER", "Parsed", "parse"]

# The largest known header has 0.8 million strings in 16 MB. These limits bound time and memory with room to
# spare.
MAX_HEADER = 256 << 20
MAX_KEYS = 65_536
MAX_KEY_LENGTH = 1_024
MAX_STRING = 16 << 20
MAX_STRINGS = 8 << 20  # of all arrays together
MAX_ARRAY = 16 << 20
MAX_TEXT = 32 << 20  # bytes of all strings that are kept
MAX_TENSORS = 32_768  # llama.cpp looks each one up in a list: its time grows with the square
MAX_TENSOR_NAME = 63
MAX_ALIGNMENT = 65_536
# What ggml asserts of the address of a tensor in a mapped file.
TENSOR_ALIGNMENT = 32

_SHAPES = [struct.Struct(f"<{n}Q") for n in range(5)]

# What people try to load in place of a GGUF file, by how it begins.
_LOOKALIKES = {
    b"FUGG": "it is a big-endian GGUF file; convert it to little-endian",
    b"lmgg": "it is a GGML file, a format from before GGUF; convert the model again",
    b"fmgg": "it is a GGMF file, a format from before GGUF; convert the model again",
    b"tjgg": "it is a GGJT file, a format from before GGUF; convert the model again",
    b"algg": "it is a GGLA adapter, a format from before GGUF; convert the adapter again",
    b"PK\x03\x04": "it is a ZIP archive, perhaps a PyTorch checkpoint; convert the model to GGUF",
    b"vers": "it looks like a Git LFS pointer; fetch the file itself",
    b"<!DO": "it looks like a web page; fetch the file itself",
    b"<htm": "it looks like a web page; fetch the file itself",
}


class Parsed(msgspec.Struct, frozen=True):
    """What the header says, before anybody asked what it means."""

    version: int
    alignment: int
    data_offset: int
    values: dict[str, Value]
    types: dict[str, str]
    tensors: tuple[TensorInfo, ...]


def parse(reader: Reader) -> Parsed:
    """Read a header from its first byte.

    Raises:
        InvalidModelFile: It is not GGUF, is damaged or incomplete, or exceeds a limit.
    """
    version = _read_start(reader)
    n_tensors = reader.u64("the number of tensors")
    n_values = reader.u64("the number of metadata values")
    # Checked against the file size too: a value takes at least 14 bytes and a tensor 25.
    if n_values > min(MAX_KEYS, reader.remaining // 14):
        raise reader.error(
            f"it announces {n_values} metadata values, too many for a file of {reader.size} bytes"
        )
    if n_tensors > min(MAX_TENSORS, reader.remaining // 25):
        raise reader.error(f"it announces {n_tensors} tensors, too many for a file of {reader.size} bytes")
    values, types = _read_values(reader, n_values)
    alignment = _alignment(reader, values, types)
    tensors, data_offset = _read_tensors(reader, n_tensors, alignment)
    return Parsed(version, alignment, data_offset, values, types, tensors)


def _read_start(reader: Reader) -> int:
    """Magic and version."""
    if reader.size == 0:
        raise reader.error("the file is empty")
    magic = reader.take(min(4, reader.size), "the magic number")
    if magic != b"GGUF":
        known = _LOOKALIKES.get(magic, f"it begins with {magic!r}, not with {b'GGUF'!r}")
        raise reader.error(f"it is not a GGUF file: {known}")
    version = reader.u32("the version")
    if version & 0xFFFF == 0:
        raise reader.error(f"it is not a GGUF file: {_LOOKALIKES[b'FUGG']}")
    if version not in (2, 3):
        hint = "convert the model again" if version == 1 else "it needs a newer version of this program"
        raise reader.error(f"it has version {version} of GGUF, only 2 and 3 can be read; {hint}")
    return version


def _read_values(reader: Reader, count: int) -> tuple[dict[str, Value], dict[str, str]]:
    values: dict[str, Value] = {}
    types: dict[str, str] = {}
    text_left, strings_left = MAX_TEXT, MAX_STRINGS
    for index in range(count):
        key = _key(reader, f"metadata key {index}", MAX_KEY_LENGTH)
        if key in values:
            raise reader.error(f"the metadata key {key!r} occurs twice")
        kind = reader.u32(f"the type of {key}")
        if kind in SCALARS:
            scalar = SCALARS[kind]
            types[key] = scalar.name
            values[key] = struct.unpack(f"<{scalar.code}", reader.take(scalar.size, key))[0]
        elif kind == STRING:
            raw = reader.string(min(MAX_STRING, text_left), key)
            text_left -= len(raw)
            types[key] = "string"
            values[key] = raw.decode("utf-8", "replace")
        elif kind == ARRAY:
            array = _read_array(reader, key, strings_left)
            strings_left -= array.length if array.type == "string" else 0
            types[key] = "array"
            values[key] = array
        else:
            raise reader.error(f"{key} has the unknown type {kind}")
    return values, types


def _key(reader: Reader, what: str, longest: int) -> str:
    """A name. C compares up to a NUL: with one inside, we and llama.cpp would see two different files."""
    raw = reader.string(longest, what)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise reader.error(f"{what} is not text: {raw[:40]!r}") from None
    if not text or "\0" in text:
        raise reader.error(f"{what} is empty or has a NUL character: {text[:40]!r}")
    return text


def _read_array(reader: Reader, key: str, strings_left: int) -> GGUFArray:
    kind = reader.u32(f"the element type of {key}")
    length = reader.u64(f"the length of {key}")
    if kind == ARRAY:
        raise reader.error(f"{key} is an array of arrays, which cannot be read")
    if kind != STRING and kind not in SCALARS:
        raise reader.error(f"{key} is an array of the unknown type {kind}")
    smallest = 8 if kind == STRING else SCALARS[kind].size
    if length * smallest > reader.remaining:
        raise reader.error(
            f"{key} has {length} elements, more than the {reader.remaining} bytes left can hold"
        )
    longest = strings_left if kind == STRING else MAX_ARRAY
    if length > longest:
        raise reader.error(f"{key} has {length} elements, at most {longest} can be read")
    offset = reader.position
    if kind == STRING:
        reader.skip_strings(length, key)
    else:
        reader.skip(length * smallest, key)
    name = "string" if kind == STRING else SCALARS[kind].name
    return GGUFArray(type=name, length=length, offset=offset, nbytes=reader.position - offset)


def _alignment(reader: Reader, values: dict[str, Value], types: dict[str, str]) -> int:
    value = values.get("general.alignment", 32)
    if types.get("general.alignment", "uint32") != "uint32" or not isinstance(value, int):
        raise reader.error(f"general.alignment must be a uint32, not {types['general.alignment']}")
    if not 8 <= value <= MAX_ALIGNMENT or value & (value - 1):
        raise reader.error(f"general.alignment is {value}, must be a power of two from 8 to {MAX_ALIGNMENT}")
    return value


def _read_tensors(reader: Reader, count: int, alignment: int) -> tuple[tuple[TensorInfo, ...], int]:
    table: dict[str, tuple[tuple[int, ...], TensorType, int]] = {}
    for index in range(count):
        name = _key(reader, f"the name of tensor {index}", MAX_TENSOR_NAME)
        if name in table:
            raise reader.error(f"the tensor {name!r} occurs twice")
        n_dims = reader.u32(f"the number of dimensions of {name}")
        if n_dims > 4:
            raise reader.error(f"the tensor {name!r} has {n_dims} dimensions, at most 4 are possible")
        shape = _SHAPES[n_dims].unpack(reader.take(8 * n_dims, f"the shape of {name}"))
        kind = TENSOR_TYPES.get(number := reader.u32(f"the type of {name}"))
        if kind is None:
            raise reader.error(f"the tensor {name!r} has the unknown type {number}")
        table[name] = (shape, kind, reader.u64(f"the offset of {name}"))
    end = reader.position
    data_offset = end + -end % alignment
    tensors = []
    expected = 0  # llama.cpp wants tensors without gaps, in the order of the table
    for name, (shape, kind, offset) in table.items():
        nbytes = _tensor_size(reader, name, shape, kind)
        if offset != expected:
            raise reader.error(
                f"the tensor {name!r} lies at {offset} in the data, the one before ends at {expected}"
            )
        begin = data_offset + offset
        if begin + nbytes > reader.size:
            raise reader.error(
                f"the tensor {name!r} ends at byte {begin + nbytes}, but the file has {reader.size}: "
                "it is not complete"
            )
        if begin % TENSOR_ALIGNMENT:
            raise reader.error(
                f"the tensor {name!r} lies at byte {begin}, not a multiple of {TENSOR_ALIGNMENT}"
            )
        tensors.append(TensorInfo(name=name, shape=shape, type=kind, offset=begin, nbytes=nbytes))
        expected = offset + nbytes + -nbytes % alignment
    return tuple(tensors), data_offset


def _tensor_size(reader: Reader, name: str, shape: tuple[int, ...], kind: TensorType) -> int:
    elements = 1
    for n in shape:
        elements *= n
    if elements == 0:
        raise reader.error(f"the tensor {name!r} has a dimension of 0: {shape}")
    if elements >= 1 << 63:
        raise reader.error(f"the tensor {name!r} has too many elements: {shape}")
    row = shape[0] if shape else 1
    if row % kind.block:
        raise reader.error(
            f"the tensor {name!r} has rows of {row}, {kind.name} needs a multiple of {kind.block}"
        )
    return elements // kind.block * kind.nbytes
