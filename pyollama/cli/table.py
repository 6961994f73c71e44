"""Tables of the command line: columns of text without lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from pyollama.cli.width import text_width

__all__ = ["table"]

GAP = 4
# Cells of several words are wrapped so wide.
CELL_WIDTH = 30


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table.

    Args:
        header: Titles of the columns, as they are to be shown.
        rows: Cells, as many in every row as there are titles.

    Returns:
        Lines, each with a line feed. A line ends with spaces: one in the header, four below.

    Example::

        table(["NAME", "SIZE"], [["tiny:latest", "4.0 MB"]])
    """
    lines = [line for row in rows for line in zip_longest(*map(_wrapped, row), fillvalue="")]
    widths = [max(map(text_width, column)) for column in zip(header, *lines, strict=True)]
    out = ["".join(_padded(header, widths))[: 1 - GAP] + "\n"]
    out += ["".join(_padded(line, widths)) + "\n" for line in lines]
    return "".join(out)


def _padded(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for cell, width in zip(cells, widths, strict=True):
        yield cell + " " * (width - text_width(cell) + GAP)


def _wrapped(cell: str) -> list[str]:
    """A cell in lines that are not too wide; a word is never split."""
    lines = [""]
    for word in cell.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and text_width(longer) > CELL_WIDTH:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
