"""Writes GGUF files by hand, so that every field of a file can be wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
# Numbers in a block and bytes of a block, of the types that tests use.
MAX_DATA = 1 << 20  # what a false size makes us write at most
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 15: (256, 292), 26: (1, 4), 28: (1, 8)}


@dataclass(frozen=True)
class Value:
    """A metadata value: its type as a number, and its bytes."""

    type: int
    data: bytes


def scalar(type: int, value: Any) -> Value:
    return Value(type, struct.pack(f"<{CODES[type]}", value))


def u16(value: int) -> Value:
    return scalar(2, value)


def u32(value: int) -> Value:
    return scalar(4, value)


def i32(value: int) -> Value:
    return scalar(5, value)


def f32(value: float) -> Value:
    return scalar(6, value)


def boolean(value: bool) -> Value:
    return scalar(7, value)


def text(value: bytes | str, length: int | None = None) -> bytes:
    """A length and the bytes; ``length`` replaces the true one."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def string(value: bytes | str, length: int | None = None) -> Value:
    return Value(STRING, text(value, length))


def array(type: int, items: Iterable[Any], length: int | None = None) -> Value:
    """An array; ``length`` replaces the true one. Items of the type array are `Value` objects."""
    items = list(items)
    if type == STRING:
        data = b"".join(text(item) for item in items)
    elif type == ARRAY:
        data = b"".join(item.data for item in items)
    else:
        data = struct.pack(f"<{len(items)}{CODES.get(type, 'B')}", *items)
    return Value(ARRAY, struct.pack("<IQ", type, len(items) if length is None else length) + data)


def nested(depth: int) -> Value:
    """Arrays of one array each, ``depth`` of them inside each other."""
    return Value(ARRAY, struct.pack("<IQ", ARRAY, 1) * depth + struct.pack("<IQ", 0, 0))


@dataclass(frozen=True)
class Tensor:
    """A tensor of zeros. ``offset`` None: behind the one before."""

    name: bytes | str
    shape: tuple[int, ...]
    type: int = 0
    offset: int | None = None
    n_dims: int | None = None

    @property
    def nbytes(self) -> int:
        block, size = BLOCKS.get(self.type, (1, 0))
        count = 1
        for n in self.shape:
            count *= n
        return count // block * size


def start(n_tensors: int, n_values: int) -> bytes:
    """What a file begins with."""
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_values)


@dataclass
class GGUF:
    """A file. A count that is None is the true one."""

    values: dict[bytes | str, Value] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    magic: bytes = b"GGUF"
    version: int = 3
    n_values: int | None = None
    n_tensors: int | None = None
    alignment: int = 32
    more_values: tuple[tuple[bytes | str, Value], ...] = ()  # may repeat a key
    data: bytes | None = None

    def but(self, **values: Value | None) -> GGUF:
        """A copy with other values; ``__`` in a name stands for a dot, None takes a value out."""
        return self.set({name.replace("__", "."): value for name, value in values.items()})

    def set(self, values: dict[Any, Value | None]) -> GGUF:
        merged = {**self.values, **values}
        return replace(self, values={key: value for key, value in merged.items() if value is not None})

    def with_tensor(self, index: int, **fields: Any) -> GGUF:
        """A copy with another tensor."""
        tensors = list(self.tensors)
        tensors[index] = replace(tensors[index], **fields)
        return replace(self, tensors=tensors)

    def offsets(self) -> list[int]:
        found, end = [], 0
        for tensor in self.tensors:
            found.append(end if tensor.offset is None else tensor.offset)
            end = found[-1] + tensor.nbytes
            end = (end + -end % self.alignment) % 2**64
        return found

    def header(self) -> bytes:
        pairs = [*self.values.items(), *self.more_values]
        parts = [
            self.magic,
            struct.pack(
                "<IQQ",
                self.version,
                len(self.tensors) if self.n_tensors is None else self.n_tensors,
                len(pairs) if self.n_values is None else self.n_values,
            ),
        ]
        for key, value in pairs:
            parts += [text(key), struct.pack("<I", value.type), value.data]
        for tensor, offset in zip(self.tensors, self.offsets(), strict=True):
            n_dims = len(tensor.shape) if tensor.n_dims is None else tensor.n_dims
            parts.append(text(tensor.name))
            parts.append(struct.pack(f"<I{len(tensor.shape)}Q", n_dims, *tensor.shape))
            parts.append(struct.pack("<IQ", tensor.type, offset))
        return b"".join(parts)

    def to_bytes(self) -> bytes:
        header = self.header()
        padded = header + bytes(-len(header) % self.alignment)
        if self.data is not None:
            return padded + self.data
        if not self.tensors:
            return header
        last = max(
            offset + tensor.nbytes for tensor, offset in zip(self.tensors, self.offsets(), strict=True)
        )
        return padded + bytes(min(last, MAX_DATA))
