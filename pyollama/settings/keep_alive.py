"""How long a model stays loaded after its last request."""

from __future__ import annotations

import math

from pyollama.errors import InvalidRequest
from pyollama.settings.duration import MAX_NANOSECONDS, parse_duration

__all__ = ["read_keep_alive"]

_SECOND = 10**9


def read_keep_alive(value: object) -> float:
    """Read the ``keep_alive`` of a request.

    Args:
        value: What JSON gave: seconds, or a duration such as ``"5m"``. Anything negative means for ever. Leave
            out what was not given: None is refused as any other type is.

    Returns:
        Seconds, ``math.inf`` for ever. What exceeds the longest duration, about 292 years, is for ever as well.

    Raises:
        InvalidRequest: It is neither a number nor a text, or the text is no duration.

    Example::

        read_keep_alive("1m30s"), read_keep_alive(0), read_keep_alive(-1)   # 90.0, 0.0, inf
    """
    if isinstance(value, str):
        nanoseconds: float = parse_duration(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and math.isnan(value):
            raise InvalidRequest("keep_alive must be a number of seconds, got nan")
        # Compared before it is multiplied: an integer may be too large to become a float.
        nanoseconds = math.inf if value >= MAX_NANOSECONDS // _SECOND else value * _SECOND
    else:
        raise InvalidRequest(f"Unsupported type: '{type(value).__name__}'")
    if nanoseconds < 0 or nanoseconds >= MAX_NANOSECONDS:
        return math.inf
    return nanoseconds / _SECOND
