"""A sign on the terminal that something is going on."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

__all__ = ["Spinner"]

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ASCII_FRAMES = "|/-\\"
SECONDS = 0.1

_BEGIN, _END = "\x1b[?2026h\x1b[?25l", "\x1b[?25h\x1b[?2026l"
_CLEAR = "\x1b[?25l\x1b[2K\x1b[1G\x1b[?25h"


class Spinner:
    """Turns on the error output, if that is a terminal, until it is stopped; then nothing of it is left.

    Args:
        message: What to show before it.

    Example::

        with Spinner() as spinner:
            wait_for_the_first_text()
            spinner.stop()
            show_it()
    """

    def __init__(self, message: str = "") -> None:
        self._prefix = f"{message} " if message else ""
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Spinner:
        if sys.stderr is not None and sys.stderr.isatty():
            self._thread = threading.Thread(target=self._turn, name="spinner", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop and remove it; again: nothing."""
        if self._thread is None or self._stopped.is_set():
            return
        self._stopped.set()
        self._thread.join()
        self._write(_CLEAR)

    def _turn(self) -> None:
        turn, frames = 0, _frames()
        while not self._stopped.is_set():
            frame = frames[turn % len(frames)]
            self._write(f"{_BEGIN}\x1b[1G{self._prefix}{frame} \x1b[K{_END}")
            turn += 1
            self._stopped.wait(SECONDS)

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            # The terminal has gone. That is no reason to end what was waited for.
            self._stopped.set()


def _frames() -> str:
    try:
        FRAMES.encode(sys.stderr.encoding)
    except UnicodeEncodeError:
        return ASCII_FRAMES
    return FRAMES
