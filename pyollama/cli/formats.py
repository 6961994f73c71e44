"""Sizes and times as the tables of the command line show them."""

from __future__ import annotations

import math
from datetime import datetime

__all__ = ["processor_text", "relative_time", "size_text"]

_UNITS = ("KB", "MB", "GB", "TB")
_HOURS_OF_A_DAY = 24
_HOURS_OF_A_YEAR = 365 * _HOURS_OF_A_DAY
# What lies further ahead than this was meant to be never.
_FOREVER_YEARS = 20


def size_text(size: int) -> str:
    """A number of bytes in decimal units, with at most two or three digits.

    Example::

        size_text(999), size_text(1024), size_text(12_900_000)   # "999 B", "1.0 KB", "12 MB"
    """
    if size < 1000:
        return f"{size} B"
    power = min((len(str(size)) - 1) // 3, len(_UNITS))
    value = size / 1000**power
    number = f"{value:.1f}" if value < 10 and size % 1000**power else str(int(value))
    return f"{number} {_UNITS[power - 1]}"


def relative_time(then: datetime, now: datetime, *, zero: str = "Never") -> str:
    """How long ago a time was, or how far ahead it is.

    Args:
        then: The time, with its zone.
        now: The present, with its zone.
        zero: What to say for year 1, which stands for no time at all.

    Example::

        relative_time(now - timedelta(days=3), now)   # "3 days ago"
    """
    if then.year <= 1:
        return zero
    seconds = (now - then).total_seconds()
    if seconds < 0 and int(-seconds // 3600) // _HOURS_OF_A_YEAR > _FOREVER_YEARS:
        return "Forever"
    return f"{_span(abs(seconds))} {'from now' if seconds < 0 else 'ago'}"


def _span(seconds: float) -> str:
    if seconds < 1:
        return "Less than a second"
    if seconds < 2:
        return "1 second"
    if seconds < 60:
        return f"{int(seconds)} seconds"
    minutes = int(seconds // 60)
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = math.floor(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    days = hours // _HOURS_OF_A_DAY
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{int(seconds // 3600) // _HOURS_OF_A_YEAR} years"


def processor_text(size: int, size_gpu: int) -> str:
    """Where a loaded model lies.

    Args:
        size: Bytes of memory that it takes.
        size_gpu: Those of them on a GPU.

    Example::

        processor_text(4_000, 3_000)   # "25%/75% CPU/GPU"
    """
    if size_gpu == 0:
        return "100% CPU"
    if size_gpu == size:
        return "100% GPU"
    if size == 0 or size_gpu > size:
        return "Unknown"
    cpu = math.floor((size - size_gpu) / size * 100 + 0.5)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"
