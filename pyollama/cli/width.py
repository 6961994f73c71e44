"""How many columns of a terminal a text takes."""

from __future__ import annotations

import unicodedata

__all__ = ["character_width", "text_width"]

_NONE = frozenset(["Mn", "Me", "Cf", "Cc"])


def character_width(character: str) -> int:
    """Columns of one character: 2 for most of East Asia and emoji, 0 for what combines or is not shown."""
    if character.isascii():
        return 1 if " " <= character <= "~" else 0
    if unicodedata.category(character) in _NONE:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def text_width(text: str) -> int:
    """Columns of a text on one line.

    Example::

        text_width("漢字 e\u0301")   # 6
    """
    return sum(map(character_width, text))
