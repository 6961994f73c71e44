"""Word wrap for a text that arrives piece by piece and is shown at once."""

from __future__ import annotations

from pyollama.cli.width import character_width

__all__ = ["WordWrapper"]

MARGIN = 5
NARROWEST = 10
# A word that is this close to the width of the terminal stays where it is.
LONG_WORD = 10


class WordWrapper:
    """Puts line breaks between words, also when the beginning of a word has been shown already.

    It then takes that beginning back with the control codes of a terminal and shows it on the next line.

    Example::

        wrapper = WordWrapper()
        for piece in ("one tw", "o three"):
            sys.stdout.write(wrapper.wrap(piece, width=12))
    """

    def __init__(self) -> None:
        self._column = 0
        self._word = ""
        self._word_width = 0

    def wrap(self, text: str, width: int) -> str:
        """What to write so that ``text`` appears wrapped.

        Args:
            text: The next piece.
            width: Columns of the terminal; below 10 nothing is wrapped.
        """
        if width < NARROWEST:
            return text
        out: list[str] = []
        for character in text:
            # A line break at the margin needs none of ours before it.
            if self._column + 1 > width - MARGIN and character not in "\r\n":
                if self._word_width > width - LONG_WORD:
                    out.append(character)
                    self._forget_word()
                    self._column = 0
                    continue
                if self._word_width:
                    out.append(f"\x1b[{self._word_width}D")
                out.append(f"\x1b[K\n{self._word}")
                self._column = self._word_width
            out.append(character)
            self._advance(character)
        return "".join(out)

    def _advance(self, character: str) -> None:
        wide = character_width(character)
        if character in "\r\n":
            self._column = 0
            self._forget_word()
            return
        self._column += wide
        # Between wide characters a line may break, as East Asian texts have no spaces.
        if wide == 2 or character in " \t":
            self._forget_word()
        elif wide or self._word:  # an accent without a word stands on the character before
            self._word += character
            self._word_width += wide

    def _forget_word(self) -> None:
        self._word, self._word_width = "", 0
