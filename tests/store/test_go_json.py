"""JSON as Go writes it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.store.go_json import OrderedObject, encode_json

# What Go 1.22 prints for them.
NUMBERS: list[tuple[float, str]] = [
    (4096, "4096"),
    (4096.0, "4096"),
    (-1, "-1"),
    (0.0, "0"),
    (-0.0, "-0"),
    (0.7, "0.7"),
    (0.1, "0.1"),
    (1e-5, "0.00001"),
    (1e-6, "0.000001"),
    (1e-7, "1e-7"),
    (1.5e-9, "1.5e-9"),
    (-2.5e-10, "-2.5e-10"),
    (1048576.0, "1048576"),
    (1e16, "10000000000000000"),
    (1.5e16, "15000000000000000"),
    (123456789012345680000.0, "123456789012345680000"),
    (1e20, "100000000000000000000"),
    (1e21, "1e+21"),
    (-1.25e22, "-1.25e+22"),
    (1e100, "1e+100"),
    (3.4028234663852886e38, "3.4028234663852886e+38"),
    (5e-324, "5e-324"),
    (2**53, "9007199254740992"),
]


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_numbers(value: float, text: str) -> None:
    """Catches a number in Python's spelling: the blob would have another digest than Ollama's."""
    assert encode_json(value).decode() == text + "\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<a & b>", r'"\u003ca \u0026 b\u003e"'),
        ("\u2028\u2029", r'"\u2028\u2029"'),
        ('"\\/', r'"\"\\/"'),
        ("\n\r\t\b\f\x00\x1f\x7f", r'"\n\r\t\b\f\u0000\u001f' + '\x7f"'),
        ("é 日 😀", '"é 日 😀"'),
        ([], "[]"),
        ({}, "{}"),
        ([True, None, ["a", {}]], '[true,null,["a",{}]]'),
        ({"b": 1, "a": {"d": 1, "c": 2}, "B": 0, "é": 1, "😀": 2, "\uffff": 3}, None),
        ({"<": ">"}, r'{"\u003c":"\u003e"}'),
        (OrderedObject(b=1, a={"d": 1, "c": 2}), '{"b":1,"a":{"c":2,"d":1}}'),
        (("a",), '["a"]'),
    ],
)
def test_texts_and_objects(value: Any, text: str | None) -> None:
    """Catches a missing escape, a space, or keys in another order than that of their bytes."""
    if text is None:
        text = '{"B":0,"a":{"c":2,"d":1},"b":1,"é":1,"\uffff":3,"😀":2}'
    assert encode_json(value).decode() == text + "\n"


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_any_value_can_be_read_again(value: Any) -> None:
    """Catches a value that changes when it is stored; an integer and the same float are one value."""
    data = encode_json(value)
    # Whole floats are written as integers, and read by Go and here as the same number.
    assert json.loads(data, parse_int=float) == value
    assert data.count(b"\n") == 1


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, "\ud800", {"\udfff": 1}, nested(100_000), {"a": [math.nan]}]
)
def test_what_has_no_form(value: Any) -> None:
    """Catches JSON that nobody can read, and an error of another kind."""
    with pytest.raises(ValueError):
        encode_json(value)


@pytest.mark.parametrize("value", [b"x", {1: 2}, {None: 1}, object(), {"a": {1, 2}}])
def test_wrong_types(value: Any) -> None:
    """Catches a key or a value that silently becomes something else."""
    with pytest.raises(TypeError):
        encode_json(value)
