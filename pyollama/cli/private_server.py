"""A server for one ``run``, where none is running."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from pyollama.cli.client import Client, ConnectionLost, CouldNotConnect
from pyollama.cli.spinner import Spinner
from pyollama.errors import Error
from pyollama.settings import ServerAddress

__all__ = ["ServerDidNotStart", "private_server", "some_server"]

COMMAND = (sys.executable, "-P", "-m", "pyollama", "serve", "--until-stdin-closes")
# Seconds that the server may take to listen, and to end when it is asked to: the latter is more than the time
# that it gives itself for ending its requests and its runners.
START_SECONDS = 60.0
END_SECONDS = 15.0
# Of what it prints, so many lines are kept, each at most so long.
LAST_LINES = 10
LINE_BYTES = 1000
ADDRESS_BYTES = 1000


class ServerDidNotStart(Error):
    """Raised when the private server ended, or stayed silent, instead of telling where it listens."""


@contextmanager
def some_server(host: str) -> Iterator[Client]:
    """A client of the server at an address, or of a private one.

    A private server is started only if nobody listens at the address and the address is this machine's.

    Args:
        host: What ``OLLAMA_HOST`` says; empty: the usual address.

    Raises:
        CouldNotConnect: Nobody listens there, and it is not this machine's.
        ConnectionLost, ServerError: Who listens there does not answer as a server does.
        ServerDidNotStart: The private server failed.
    """
    client = Client(ServerAddress.parse(host))
    try:
        client.check()
        is_there = True
    except CouldNotConnect:
        if not client.address.is_loopback:
            raise
        is_there = False
    if is_there:
        yield client
    else:
        with private_server() as address:
            yield Client(address)


@contextmanager
def private_server(
    command: Sequence[str] = COMMAND,
    *,
    start_seconds: float = START_SECONDS,
    end_seconds: float = END_SECONDS,
) -> Iterator[ServerAddress]:
    """A server in a process of its own, on a free port that only this machine reaches.

    It ends with the block: also by Ctrl-C and SIGTERM; and when this process is killed, as the server reads
    the end of the pipe that is its standard input.

    Args:
        command: What to start. It gets ``--announce-fd N``: the pipe that it writes its address to.
        start_seconds: How long it may take to do that.
        end_seconds: How long it may take to end before it is killed.

    Raises:
        ServerDidNotStart: It ended before it listened; with its last output.
    """
    with _exiting_by_signal():
        child: _Child | None = None
        try:
            with Spinner():
                child = _Child(command)
                address = child.address(start_seconds)
            yield address
        except ConnectionLost as error:
            if child is not None and child.has_ended():
                raise ConnectionLost(f"{error}; its last output:\n{child.last_output()}") from error
            raise
        finally:
            if child is not None:
                child.end(end_seconds)


class _Child:
    """The process of a private server."""

    def __init__(self, command: Sequence[str]) -> None:
        self._announcement, announce_fd = _pipe()
        try:
            self._process = subprocess.Popen(
                [*command, f"--announce-fd={announce_fd}"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(announce_fd,),
                # Port 0: the system gives it one that is free. What nobody uses is not looked for: another
                # server may be storing it right now.
                env={**os.environ, "OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_NOPRUNE": "1"},
                # Away from the terminal, whose Ctrl-C is for us: it ends an answer, not the server.
                start_new_session=True,
            )
        except BaseException:
            os.close(self._announcement)
            raise
        finally:
            os.close(announce_fd)
        self._lines: deque[bytes] = deque(maxlen=LAST_LINES)
        self._reader = threading.Thread(target=self._read, name="server-output", daemon=True)
        self._reader.start()

    def address(self, seconds: float) -> ServerAddress:
        """Wait until it tells where it listens."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._announcement, select.POLLIN)
        data = b""
        try:
            while not data.endswith(b"\n"):
                rest = deadline - time.monotonic()
                if rest <= 0 or not poll.poll(rest * 1000):
                    raise self._failure(f"it has not begun to listen within {seconds:g} seconds")
                piece = os.read(self._announcement, ADDRESS_BYTES)
                data += piece
                if not piece or len(data) > ADDRESS_BYTES:
                    raise self._failure("it ended before it listened")
        finally:
            os.close(self._announcement)
        return ServerAddress.parse(data.decode("ascii", "replace"))

    def has_ended(self) -> bool:
        """Whether the process is gone; waits a moment for one that is just dying."""
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_output(self) -> str:
        """What it printed last."""
        # Processes that it started may still hold the pipe.
        self._reader.join(1.0)
        return b"\n".join(self._lines).decode("utf-8", "replace")

    def end(self, seconds: float) -> None:
        """End it, by force if it has not ended after ``seconds`` or if this is interrupted."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass  # below
        finally:
            if self._process.poll() is None:
                # Its whole session, so that no runner is left.
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._reader.join(1.0)

    def _failure(self, reason: str) -> ServerDidNotStart:
        self.has_ended()
        output = self.last_output()
        last = output.rpartition("\n")[2]
        if last.startswith("Error: "):
            return ServerDidNotStart(f"the server could not start: {last.removeprefix('Error: ')}")
        return ServerDidNotStart(f"the server could not start: {reason}" + (output and f":\n{output}"))

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while line := stream.readline(LINE_BYTES):
                self._lines.append(line.rstrip())


def _pipe() -> tuple[int, int]:
    """A pipe whose writing end is none of the standard files, in whose place it would not reach the child."""
    reading, writing = os.pipe()
    try:
        # Where our own standard files are closed, the system gives their numbers away.
        return reading, fcntl.fcntl(writing, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)


@contextmanager
def _exiting_by_signal() -> Iterator[None]:
    """Make the signals that would end this process at once end it as an exception does."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    replaced = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            # nohup ignores SIGHUP, and should go on doing so.
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, leave)
                replaced.append(number)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)
