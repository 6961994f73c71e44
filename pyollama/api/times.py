"""Moments as the API writes them: RFC 3339 with as many digits as it takes."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["local_time", "now", "utc_time"]

# A day before Python's calendar ends; a file system takes any number.
LAST_NS = 253_402_214_400 * 10**9


def now() -> str:
    """This moment as ``created_at`` shows it."""
    return utc_time(time.time_ns())


def utc_time(ns: int) -> str:
    """A moment in UTC.

    Args:
        ns: Nanoseconds since 1970.

    Example::

        utc_time(1_500_000_000)   # "1970-01-01T00:00:01.5Z"
    """
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ns // 10**9))}{_digits(ns)}Z"


def local_time(ns: int) -> str:
    """A moment in local time, with its distance from UTC.

    Args:
        ns: Nanoseconds since 1970.

    Example::

        local_time(1_500_000_000)   # in Paris: "1970-01-01T01:00:01.5+01:00"
    """
    kept = min(max(ns, 0), LAST_NS)
    text = datetime.fromtimestamp(kept // 10**9, UTC).astimezone().isoformat()
    # Minutes are all that the format has, some zones of the past had seconds.
    moment, zone = text[:19], text[19:25]
    return f"{moment}{_digits(kept)}{'Z' if zone == '+00:00' else zone}"


def _digits(ns: int) -> str:
    return f".{ns % 10**9:09}".rstrip("0").rstrip(".")
