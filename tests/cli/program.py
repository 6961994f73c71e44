"""Runs the program: with pipes, or at a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PROGRAM = [sys.executable, "-P", "-m", "pyollama"]
LIMIT = 120.0


def program(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with nothing on the standard input unless the settings say so."""
    settings = {"stdin": subprocess.DEVNULL, "text": True, **settings}
    if "input" in settings:
        del settings["stdin"]
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, timeout=LIMIT, **settings)


class Terminal:
    """The program at a terminal of its own, which is its standard input and output, and its error output too."""

    def __init__(self, *arguments: str, columns: int = 80) -> None:
        self._fd, other_end = pty.openpty()
        fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            # With a controlling terminal, Ctrl-C typed at it becomes a signal.
            preexec_fn=_own_terminal,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"},
        )
        os.close(other_end)
        self.output = ""

    def type(self, text: str) -> None:
        """Type something; ``\\x03`` is Ctrl-C, ``\\x04`` Ctrl-D."""
        os.write(self._fd, text.encode())

    def wait_for(self, pattern: str, since: int = 0) -> str:
        """Read until the output has something; returns all output."""
        deadline = time.monotonic() + LIMIT
        while not re.search(pattern, self.output[since:]):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.output!r}"
            assert self._read(), f"ended without {pattern!r}: {self.output!r}"
        return self.output

    def end(self) -> int:
        """Read to the end; returns the exit code."""
        while self._read():
            pass
        return self.process.wait(LIMIT)

    def close(self) -> None:
        """End it if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self._fd)

    def _read(self) -> bool:
        if not select.select([self._fd], [], [], LIMIT)[0]:
            raise TimeoutError(f"nothing happens after {self.output!r}")
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux: the program has ended
            return False
        self.output += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def terminal(*arguments: str, columns: int = 80) -> Iterator[Terminal]:
    """The program at a terminal; it is ended with the block."""
    running = Terminal(*arguments, columns=columns)
    try:
        yield running
    finally:
        running.close()


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
