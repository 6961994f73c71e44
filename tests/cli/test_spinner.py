"""The spinner: on a terminal and nowhere else, and without a trace afterwards."""

from __future__ import annotations

import io
import sys
import time

import pytest

from pyollama.cli.spinner import ASCII_FRAMES, FRAMES, Spinner


class Screen(io.StringIO):
    """What a terminal was sent."""

    def __init__(self, *, encoding: str = "utf-8", fails: bool = False) -> None:
        super().__init__()
        self._encoding, self.fails = encoding, fails

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.fails:
            raise OSError("the terminal has gone")
        return super().write(text)


def test_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a spinner that stands still, and what it leaves."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with Spinner("loading") as spinner:
        time.sleep(0.35)
        spinner.stop()
        after = screen.getvalue()
        spinner.stop()
    assert screen.getvalue() == after
    frames = after.split("\x1b[?2026l")
    assert frames[0] == f"\x1b[?2026h\x1b[?25l\x1b[1Gloading {FRAMES[0]} \x1b[K\x1b[?25h"
    assert FRAMES[1] in frames[1]
    assert frames[-1] == "\x1b[?25l\x1b[2K\x1b[1G\x1b[?25h"


def test_terminal_without_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches escapes in letters in place of a spinner."""
    screen = Screen(encoding="ascii")
    monkeypatch.setattr(sys, "stderr", screen)
    with Spinner():
        time.sleep(0.05)
    assert f"\x1b[1G{ASCII_FRAMES[0]} \x1b[K" in screen.getvalue()
    assert screen.getvalue().isascii()


def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches control codes in a file, and an error for a closed or broken error output."""
    for stderr in (io.StringIO(), None, Screen(fails=True)):
        monkeypatch.setattr(sys, "stderr", stderr)
        with Spinner():
            time.sleep(0.02)
        assert stderr is None or stderr.getvalue() == ""


def test_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a spinner that turns on below an error message."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with pytest.raises(KeyboardInterrupt), Spinner():
        raise KeyboardInterrupt
    assert screen.getvalue().endswith("\x1b[?25h")
