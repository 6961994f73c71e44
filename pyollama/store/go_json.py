"""JSON exactly as Go's encoder writes it, so that equal models have equal digests whoever made them."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

__all__ = ["OrderedObject", "encode_json"]

# These occur inside of strings only, whatever the JSON text.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


class OrderedObject(dict[str, Any]):
    """An object whose keys stay in their order; those of any other ``dict`` are sorted."""


def encode_json(value: Any) -> bytes:
    """One line of JSON: no spaces, keys sorted, ``<``, ``>`` and ``&`` escaped, a newline at the end.

    Args:
        value: Objects, arrays, texts, numbers, booleans and None, inside each other.

    Raises:
        ValueError: A number is not finite, a text is not valid Unicode, or it is nested too deeply.
        TypeError: Something in it has no form in JSON.

    Example::

        encode_json({"b": 1e16, "a": "<"})   # b'{"a":"\\\\u003c","b":10000000000000000}\\n'
    """
    try:
        return f"{_text(value).translate(_ESCAPES)}\n".encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _text(value: Any) -> str:
    if isinstance(value, dict):
        # Code points sort as their bytes in UTF-8 do.
        items = value.items() if isinstance(value, OrderedObject) else sorted(value.items())
        return "{" + ",".join(f"{_key(key)}:{_text(item)}" for key, item in items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    # What is left is written alike by both; json raises TypeError for anything that is not JSON.
    return json.dumps(value, ensure_ascii=False)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key is of type {type(key).__name__}, must be a text")
    return json.dumps(key, ensure_ascii=False)


def _number(value: float) -> str:
    """The shortest digits; with an exponent where Go writes one, which is elsewhere than in Python."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no form in JSON")
    shortest = repr(value)
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return f"{Decimal(shortest):f}".removesuffix(".0")
    mantissa, _, exponent = shortest.partition("e")
    return f"{mantissa}e{int(exponent):+d}"
