"""The ``keep_alive`` of a request."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pyollama.errors import InvalidRequest
from pyollama.settings import read_keep_alive


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (0.0, 0.0),
        ("0", 0.0),
        ("0s", 0.0),
        (10, 10.0),
        (0.5, 0.5),
        ("5m", 300.0),
        ("1m30s", 90.0),
        ("-0s", 0.0),
        (-1, math.inf),
        (-0.001, math.inf),
        ("-1s", math.inf),
        ("-1ns", math.inf),
        (1e300, math.inf),
        (10**400, math.inf),
        (-(10**400), math.inf),
        (math.inf, math.inf),
        (-math.inf, math.inf),
        ("2562047h47m16.854775807s", math.inf),
        (9_223_372_036, math.inf),
        (9_223_372_035, 9_223_372_035.0),
    ],
)
def test_read(value: Any, seconds: float) -> None:
    """Catches a model that is unloaded at once, or never, against the request."""
    assert read_keep_alive(value) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "Unsupported type: 'bool'"),
        (None, "Unsupported type: 'NoneType'"),
        ([], "Unsupported type: 'list'"),
        ({}, "Unsupported type: 'dict'"),
        ("10", 'time: missing unit in duration "10"'),
        ("abc", 'time: invalid duration "abc"'),
        ("", 'time: invalid duration ""'),
        (math.nan, "keep_alive must be a number of seconds, got nan"),
    ],
)
def test_refused(value: Any, message: str) -> None:
    """Catches ``true`` taken for a second, and errors that do not say what was wrong."""
    with pytest.raises(InvalidRequest) as caught:
        read_keep_alive(value)
    assert str(caught.value) == message
