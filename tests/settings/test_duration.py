"""Durations in Go's notation."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import InvalidRequest
from pyollama.settings import format_duration, parse_duration

US, MS, S, M, H = 10**3, 10**6, 10**9, 60 * 10**9, 3600 * 10**9
LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("+0", 0),
        ("0s", 0),
        ("5s", 5 * S),
        ("+5s", 5 * S),
        ("-5s", -5 * S),
        ("5m", 5 * M),
        ("1h30m", H + 30 * M),
        ("1.5h", H + 30 * M),
        ("-1.5h", -H - 30 * M),
        ("1h15m30.918273645s", H + 15 * M + 30_918_273_645),
        ("30m1h", H + 30 * M),  # in any order
        ("1s1s", 2 * S),
        (".5s", S // 2),
        ("5.s", 5 * S),
        ("0.0s", 0),
        ("100ns", 100),
        ("1.9ns", 1),
        ("1us", US),
        ("1\u00b5s", US),
        ("1\u03bcs", US),
        ("1.5ms", 1_500_000),
        ("0.100000000000000000000h", 6 * M),
        ("0.3333333333333333333h", 20 * M - 1),
        ("000000000000000000000000001s", S),
        (f"{LARGEST}ns", LARGEST),
        (f"-{LARGEST + 1}ns", -LARGEST - 1),
        ("2562047h47m16.854775807s", LARGEST),
    ],
)
def test_parse(text: str, nanoseconds: int) -> None:
    """Catches a unit or a sign that is misread, and parts that are rounded up."""
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("abc", 'time: invalid duration "abc"'),
        ("s", 'time: invalid duration "s"'),
        (".", 'time: invalid duration "."'),
        (".s", 'time: invalid duration ".s"'),
        ("--1s", 'time: invalid duration "--1s"'),
        (" 1s", 'time: invalid duration " 1s"'),
        ("\u0661s", 'time: invalid duration "\\xd9\\xa1s"'),  # a digit, but not one of ours
        ("\ud800", 'time: invalid duration "\\xed\\xa0\\x80"'),
        ('"5m"', 'time: invalid duration "\\"5m\\""'),
        ("10", 'time: missing unit in duration "10"'),
        ("1.5", 'time: missing unit in duration "1.5"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1S", 'time: unknown unit "S" in duration "1S"'),
        ("1s 2s", 'time: unknown unit "s " in duration "1s 2s"'),
        ("1s-1s", 'time: unknown unit "s-" in duration "1s-1s"'),
        (f"{LARGEST + 1}ns", f'time: invalid duration "{LARGEST + 1}ns"'),
        (f"-{LARGEST + 2}ns", f'time: invalid duration "-{LARGEST + 2}ns"'),
        ("2562048h", 'time: invalid duration "2562048h"'),
    ],
)
def test_refused(text: str, message: str) -> None:
    """Catches a text that is taken for another duration, and an error that clients do not know."""
    with pytest.raises(InvalidRequest) as caught:
        parse_duration(text)
    assert str(caught.value) == message


def test_hostile_length() -> None:
    """Catches a number with so many digits that Python refuses it, or takes minutes over it."""
    begin = time.monotonic()
    for text in ("9" * 1_000_000 + "s", "1s" * 200_000 + "!"):
        with pytest.raises(InvalidRequest):
            parse_duration(text)
    assert parse_duration("0." + "3" * 1_000_000 + "h") == 20 * M - 1
    assert parse_duration("0" * 1_000_000 + "1s") == S
    assert time.monotonic() - begin < 5


@given(st.integers(-LARGEST - 1, LARGEST))
def test_round_trip(nanoseconds: int) -> None:
    """Catches a fraction or a part that is lost on the way out or in."""
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.text(alphabet="0123456789.nuµmsh+-", max_size=12) | st.text(max_size=12))
def test_any_text(text: str) -> None:
    """Catches an exception that is no answer to a request."""
    try:
        assert -LARGEST - 1 <= parse_duration(text) <= LARGEST
    except InvalidRequest as error:
        assert str(error).startswith("time: ")


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1_100, "1.1\u00b5s"),
        (512_000, "512\u00b5s"),
        (45_123_456, "45.123456ms"),
        (999_999_999, "999.999999ms"),
        (1_500_000_000, "1.5s"),
        (4_232_710_000, "4.23271s"),
        (59 * S + 1, "59.000000001s"),
        (M, "1m0s"),
        (123_250_000_000, "2m3.25s"),
        (H, "1h0m0s"),
        (H + S // 2, "1h0m0.5s"),
        (-90 * S, "-1m30s"),
        (LARGEST, "2562047h47m16.854775807s"),
    ],
)
def test_format(nanoseconds: int, text: str) -> None:
    """Catches zeros too many or too few, and the wrong unit."""
    assert format_duration(nanoseconds) == text
