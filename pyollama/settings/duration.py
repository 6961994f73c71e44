"""Durations as Go writes and reads them: ``"1h30m"``, ``"1.5s"``, ``"-1ns"``."""

from __future__ import annotations

import re

from pyollama.errors import InvalidRequest

__all__ = ["MAX_NANOSECONDS", "format_duration", "parse_duration"]

# A duration is a signed 64-bit number of nanoseconds, so about 292 years is the longest.
MAX_NANOSECONDS = 2**63 - 1

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,  # micro sign
    "\u03bcs": 10**3,  # Greek letter mu, which many keyboards give instead
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_STEP = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
# More digits than these change no result: the largest number has 19, and the smallest part of an hour that
# makes a nanosecond is its 13th digit.
_MAX_DIGITS = 19
_MAX_FRACTION = 20
_MAX_SHOWN = 200


def parse_duration(text: str) -> int:
    """Read a duration: an optional sign, then decimal numbers with units ``ns us ms s m h``, or just ``0``.

    Args:
        text: Such as ``"5m"``, ``"1h30m"``, ``"1.5s"`` or ``"-1s"``.

    Returns:
        Nanoseconds; what is less than one is cut off.

    Raises:
        InvalidRequest: It is no duration, or one of more than about 292 years.

    Example::

        parse_duration("1h30m")   # 5400000000000
    """
    unsigned = text[1:] if text.startswith(("-", "+")) else text
    if unsigned == "0":
        return 0
    total, position = 0, 0
    while position < len(unsigned) or not unsigned:
        step = _STEP.match(unsigned, position)
        whole, fraction, unit = step.groups() if step else ("", None, "")
        if not whole and not fraction:
            raise _invalid(text)
        if not unit:
            raise InvalidRequest(f"time: missing unit in duration {_quote(text)}")
        if unit not in _UNITS:
            raise InvalidRequest(f"time: unknown unit {_quote(unit)} in duration {_quote(text)}")
        whole, fraction = whole.lstrip("0"), (fraction or "")[:_MAX_FRACTION]
        if len(whole) > _MAX_DIGITS:
            raise _invalid(text)
        total += int(whole or "0") * _UNITS[unit]
        total += int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
        position += len(step.group()) if step else 0
    if text.startswith("-"):
        total = -total
    if not -MAX_NANOSECONDS - 1 <= total <= MAX_NANOSECONDS:
        raise _invalid(text)
    return total


def format_duration(nanoseconds: int) -> str:
    """Write a duration; ``parse_duration`` reads it back.

    Args:
        nanoseconds: Any whole number.

    Example::

        format_duration(45_123_456)       # "45.123456ms"
        format_duration(123_250_000_000)  # "2m3.25s"
    """
    sign, size = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if size == 0:
        return "0s"
    if size < _UNITS["s"]:
        unit = next(unit for unit in ("ms", "\u00b5s", "ns") if size >= _UNITS[unit])
        return f"{sign}{_decimal(size, _UNITS[unit])}{unit}"
    minutes, rest = divmod(size, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest, _UNITS["s"]) + "s"
    if hours:
        text = f"{hours}h{minutes}m{text}"
    elif minutes:
        text = f"{minutes}m{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0")


def _invalid(text: str) -> InvalidRequest:
    return InvalidRequest(f"time: invalid duration {_quote(text)}")


def _quote(text: str) -> str:
    """In double quotes, as Go's ``time`` package does it: every byte that is not printable ASCII as ``\\xNN``."""
    if len(text) > _MAX_SHOWN:
        text = text[:_MAX_SHOWN] + "..."
    out = []
    for byte in text.encode("utf-8", "surrogatepass"):
        character = chr(byte)
        if character in '"\\':
            out.append("\\" + character)
        elif " " <= character <= "~":
            out.append(character)
        else:
            out.append(f"\\x{byte:02x}")
    return '"' + "".join(out) + '"'
