"""Numbers of the architecture, as llama.cpp reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyollama.gguf.types import GGUFArray

if TYPE_CHECKING:
    from pyollama.gguf.header import GGUFHeader

__all__ = ["per_layer", "shown", "uint32"]


def uint32(header: GGUFHeader, name: str) -> int | None:
    """A number of the architecture, None where the file has none."""
    key = f"{header.architecture}.{name}"
    value = header.values.get(key)
    if value is None:
        return None
    if header.types[key] != "uint32" or not isinstance(value, int):
        raise header.error(f"{key} must be a uint32, not {header.types[key]}")
    return value


def per_layer(header: GGUFHeader, name: str) -> list[int] | None:
    """The value for each layer; a single number counts for all of them."""
    key = f"{header.architecture}.{name}"
    value = header.values.get(key)
    n_layers = uint32(header, "block_count") or 1
    if not isinstance(value, GGUFArray):
        number = uint32(header, name)
        return None if number is None else [number] * n_layers
    if value.type not in ("uint32", "int32", "bool") or value.length != n_layers:
        raise header.error(f"{key} must have one integer for each of the {n_layers} layers")
    return [int(number) for number in header.array(key)]


def shown(value: object) -> str:
    """A value for an error; a long text is cut."""
    return repr(value) if not isinstance(value, str) else repr(value[:60])
