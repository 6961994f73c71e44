"""Sizes, times, widths and tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pyollama.cli.formats import processor_text, relative_time, size_text
from pyollama.cli.table import table
from pyollama.cli.width import text_width

NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1024, "1.0 KB"),
        (1500, "1.5 KB"),
        (9_940, "9.9 KB"),
        (12_999, "12 KB"),
        (999_999, "999 KB"),
        (1_000_000, "1 MB"),
        (3_826_793_677, "3.8 GB"),
        (2_000_000_000, "2 GB"),
        (12_900_000_000, "12 GB"),
        (1_200_000_000_000, "1.2 TB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_size(size: int, text: str) -> None:
    """Catches binary units, rounding up, and digits nobody reads."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        ({"seconds": 0}, "Less than a second ago"),
        ({"seconds": 0.9}, "Less than a second ago"),
        ({"seconds": 1}, "1 second ago"),
        ({"seconds": 59.9}, "59 seconds ago"),
        ({"seconds": 60}, "About a minute ago"),
        ({"seconds": 119}, "About a minute ago"),
        ({"minutes": 2}, "2 minutes ago"),
        ({"minutes": 59, "seconds": 59}, "59 minutes ago"),
        ({"minutes": 60}, "About an hour ago"),
        ({"minutes": 89}, "About an hour ago"),
        ({"minutes": 90}, "2 hours ago"),
        ({"hours": 24}, "24 hours ago"),
        ({"hours": 47.4}, "47 hours ago"),
        ({"hours": 48}, "2 days ago"),
        ({"days": 13}, "13 days ago"),
        ({"days": 14}, "2 weeks ago"),
        ({"days": 59}, "8 weeks ago"),
        ({"days": 60}, "2 months ago"),
        ({"days": 729}, "24 months ago"),
        ({"days": 730}, "2 years ago"),
        ({"days": 365 * 30}, "30 years ago"),
        ({"minutes": -4, "seconds": -30}, "4 minutes from now"),
        ({"days": -365 * 20 - 364}, "20 years from now"),
        ({"days": -365 * 21}, "Forever"),
        ({"days": -365 * 292}, "Forever"),
    ],
)
def test_relative_time(ago: dict[str, float], text: str) -> None:
    """Catches every boundary that is one off."""
    assert relative_time(NOW - timedelta(**ago), NOW) == text


def test_times_with_zones() -> None:
    """Catches a zone that is ignored, and the year 1 of Go."""
    assert relative_time(datetime(2026, 8, 21, 5, tzinfo=timezone(timedelta(hours=-7))), NOW).startswith(
        "Less"
    )
    assert relative_time(datetime(1, 1, 1, tzinfo=UTC), NOW) == "Never"
    assert relative_time(datetime(1, 1, 1, tzinfo=UTC), NOW, zero="-") == "-"


@pytest.mark.parametrize(
    ("size", "size_gpu", "text"),
    [
        (4000, 0, "100% CPU"),
        (0, 0, "100% CPU"),
        (4000, 4000, "100% GPU"),
        (4000, 3000, "25%/75% CPU/GPU"),
        (1000, 995, "1%/99% CPU/GPU"),
        (3, 2, "33%/67% CPU/GPU"),
        (4000, 5000, "Unknown"),
        (0, 5, "Unknown"),
    ],
)
def test_processor(size: int, size_gpu: int, text: str) -> None:
    """Catches shares that do not add up."""
    assert processor_text(size, size_gpu) == text


def test_width() -> None:
    """Catches columns that do not line up with names in other scripts."""
    assert text_width("abc") == 3
    assert text_width("漢字") == 4
    assert text_width("e\u0301") == 1
    assert text_width("😀") == 2
    assert text_width("a\u200db\x1b") == 2


def test_table() -> None:
    """Catches a layout that scripts, which cut columns at four spaces, do not expect."""
    shown = table(
        ["NAME", "ID", "SIZE", "MODIFIED"],
        [("model1", "abc123def456", "1.0 KB", "24 hours ago")],
    )
    assert shown == (
        "NAME      ID              SIZE      MODIFIED     \nmodel1    abc123def456    1.0 KB    24 hours ago    \n"
    )
    assert table(["NAME", "ID"], []) == "NAME    ID \n"


def test_wide_cells() -> None:
    """Catches a long cell that breaks the lines of a terminal, and a word that is cut."""
    words = "one two three four five six seven eight"
    assert table(["A", "B"], [(words, "漢"), ("x" * 40, "")]) == (
        "A" + " " * 39 + "    B  \n"
        "one two three four five six" + " " * 13 + "    漢    \n"
        "seven eight" + " " * 29 + "          \n" + "x" * 40 + "    " + "  " + "    \n"
    )
