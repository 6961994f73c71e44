"""The process of a runner: started, watched, and ended for sure."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections import deque

__all__ = ["RunnerProcess"]

log = logging.getLogger("pyollama")

MOST_LINES = 40
MOST_CHARACTERS = 500  # of one line
# Of other programs' variables none may decide what is imported or loaded here.
NOT_INHERITED = ("PYTHONSTARTUP", "PYTHONINSPECT")


class RunnerProcess:
    """A child process with one end of a socket pair, and the last lines of its error output.

    Example::

        process, sock = await RunnerProcess.start()
        ...
        process.kill()
        await process.ended()
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._reading = asyncio.create_task(self._read_errors())

    @classmethod
    async def start(cls) -> tuple[RunnerProcess, socket.socket]:
        """Start the process; returns it and our end of the socket pair.

        Raises:
            OSError: The system does not let us: too many processes or descriptors, say.
        """
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                # -P: a folder of the same name where the server was started must not be imported.
                *(sys.executable, "-P", "-m", "pyollama.runner", str(theirs.fileno()), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env={name: value for name, value in os.environ.items() if name not in NOT_INHERITED},
                # A Ctrl-C at the terminal is for the server, which lets running requests end.
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process), ours

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it now. Idempotent."""
        if self._process.returncode is None:
            # Not asyncio's kill(): it may take the exit status away from whoever waits for it. The id cannot be
            # anybody else's as long as nobody has.
            os.kill(self.pid, signal.SIGKILL)

    async def ended(self) -> str:
        """Wait for the end; says how it came, with the last lines of the error output."""
        code = await self._process.wait()
        # A grandchild could hold the pipe open; there is none, but a wait without an end would be too bad.
        await asyncio.wait([self._reading], timeout=1)
        self._reading.cancel()
        how = f"exit status {code}" if code >= 0 else f"signal: {_signal_name(-code)}"
        return f"{how}; its last output: {' | '.join(self._lines)}" if self._lines else how

    async def _read_errors(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        rest = b""
        while data := await stream.read(4096):
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[:MOST_CHARACTERS]
            for line in lines:
                self._add(line)
        self._add(rest)

    def _add(self, line: bytes) -> None:
        text = line[:MOST_CHARACTERS].decode("utf-8", "replace").strip()
        if text:
            self._lines.append(text)
            log.info("runner %d: %s", self.pid, text)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
