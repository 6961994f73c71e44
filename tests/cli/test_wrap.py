"""Word wrap: what a terminal shows in the end."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyollama.cli.width import character_width, text_width
from pyollama.cli.wrap import WordWrapper


def shown(written: str) -> list[str]:
    """The lines of a terminal that was sent this; it must only be told to go back over what is there."""
    lines: list[list[str]] = [[]]
    for step in re.finditer(r"\x1b\[(\d*)([DK])|(.)", written, re.DOTALL):
        count, code, character = step.groups()
        if code == "D":
            back = int(count)
            while back > 0:
                back -= character_width(lines[-1].pop())
            assert back == 0
        elif character == "\n":
            lines.append([])
        elif character:
            lines[-1].append(character)
    return ["".join(line) for line in lines]


def wrapped(text: str, width: int, step: int = 1) -> list[str]:
    wrapper = WordWrapper()
    return shown("".join(wrapper.wrap(text[at : at + step], width) for at in range(0, len(text), step)))


def test_lines() -> None:
    """Catches a break in a word, and a word that is shown twice or not at all."""
    text = "The quick brown fox jumps over the lazy dog."
    assert wrapped(text, 25) == ["The quick brown fox ", "jumps over the lazy ", "dog."]
    # A space at the margin takes its word along.
    assert wrapped("abcd efgh ijkl", 14) == ["abcd ", "efgh ijkl"]


def test_codes() -> None:
    """Catches codes that another terminal would read differently."""
    wrapper = WordWrapper()
    assert wrapper.wrap("abcd efgh", 14) == "abcd efgh"
    assert wrapper.wrap("ij", 14) == "\x1b[4D\x1b[K\nefghij"


def test_line_feeds_of_the_text() -> None:
    """Catches a column that goes on counting, and an empty line at the margin."""
    assert wrapped("12345\n67890\nab", 10) == ["12345", "67890", "ab"]
    assert wrapped("a b\n\nc", 20) == ["a b", "", "c"]


def test_wide_characters() -> None:
    """Catches Chinese text, which has no spaces, taken for one endless word."""
    assert wrapped("漢字" * 6, 15) == ["漢字" * 2 + "漢", "字漢" * 2 + "字", "漢字"]


def test_long_words() -> None:
    """Catches a web address that is moved from line to line."""
    assert wrapped("x" * 40, 20) == ["x" * 40]


def test_narrow_terminal() -> None:
    """Catches a terminal where each character gets its own line."""
    assert wrapped("one two three", 9) == ["one two three"]


words = st.text(alphabet="ab漢e\u0301\t\n ", max_size=80)


@pytest.mark.parametrize("width", [10, 17, 40])
@example(text="aaaaaaa漢漢\u0301aa", step=1)
@given(text=words, step=st.integers(1, 9))
def test_nothing_is_lost(width: int, text: str, step: int) -> None:
    """Catches letters lost or doubled, lines that are too long, and a dependence on the pieces."""
    lines = wrapped(text, width, step)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert lines == wrapped(text, width, len(text) or 1)
    for line in lines:
        longest = max(map(text_width, line.split()), default=0)
        # A combining mark has no width of its own; a long word may stay.
        assert text_width(line) <= max(width - 5, longest) + 1 or longest > width - 10
