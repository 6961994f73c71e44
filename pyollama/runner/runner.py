"""The server's end of a runner."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Callable
from typing import cast

import msgspec

from pyollama import __version__, _build, errors
from pyollama.errors import EngineError, Error, ModelLoadError
from pyollama.runner.messages import (
    MAX_FRAME,
    PROTOCOL,
    Cancel,
    Done,
    Failed,
    FromRunner,
    Generate,
    Hello,
    Load,
    Loaded,
    LoadFailed,
    Ping,
    Pong,
    Progress,
    Shutdown,
    Step,
    ToRunner,
    encode_frame,
)
from pyollama.runner.process import RunnerProcess
from pyollama.runner.reply import Reply

__all__ = ["Runner"]

log = logging.getLogger("pyollama")

_decode = msgspec.msgpack.Decoder(FromRunner).decode

# A runner must say hello within this; Python and the native libraries come from a cold disk, perhaps.
START_SECONDS = 60.0
PING_SECONDS = 5.0
# So many pings without an answer, and the runner counts as stuck. Not by the clock: after a suspension of the
# whole machine every clock says that too much time has passed.
MOST_MISSED = 6
# Pings during which a busy engine computes nothing. One micro-batch can take long on a slow machine.
MOST_IDLE = 60
CLOSE_SECONDS = 5.0

STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check "
    "pyollama server logs for details"
)


class Runner(asyncio.Protocol):
    """A process with one model. Belongs to the event loop that started it.

    Example::

        runner = await Runner.start()
        await runner.load(Load("model.gguf"), stall_seconds=300)
        async for piece in runner.generate(Generate(id=runner.new_id(), prompt="Once")):
            ...
        await runner.close()
    """

    def __init__(self, process: RunnerProcess) -> None:
        self._process = process
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._ids = itertools.count(1)
        self._replies: dict[int, Reply] = {}
        self._loading: asyncio.Future[Loaded] | None = None
        self._hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._progress = asyncio.Event()
        self._missed = 0
        self._idle = 0
        self._last_pong = Pong(0, -1)
        self._why = ""
        self._watch: asyncio.Task[None] | None = None
        self._closing = False
        self.ended = asyncio.Event()
        self.on_end: Callable[[], None] = lambda: None

    @classmethod
    async def start(cls) -> Runner:
        """Start the process and wait until it answers.

        Raises:
            EngineError: It does not.
        """
        try:
            process, sock = await RunnerProcess.start()
        except OSError as error:
            raise EngineError(f"the process of a model could not be started: {error}") from error
        runner = cls(process)
        try:
            await asyncio.get_running_loop().create_connection(lambda: runner, sock=sock)
            runner._watch = asyncio.create_task(runner._watch_process())
            await asyncio.wait_for(asyncio.shield(runner._hello), START_SECONDS)
        except TimeoutError:
            process.kill()
            raise EngineError(f"the process of a model did not answer within {START_SECONDS:.0f} s") from None
        except asyncio.CancelledError:
            process.kill()
            raise
        return runner

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can take requests."""
        return not self.ended.is_set() and not self._closing and not self._why

    def new_id(self) -> int:
        """An id for the next request."""
        return next(self._ids)

    async def load(self, load: Load, *, stall_seconds: float = math.inf) -> Loaded:
        """Load the model.

        Args:
            load: Which.
            stall_seconds: End the load when it makes no progress for so long.

        Raises:
            ModelLoadError: It could not be loaded; other kinds of `pyollama.Error` as the model's file deserves.
            EngineError: The process ended, or the load stalled.
        """
        self._loading = asyncio.get_running_loop().create_future()
        self._send(load)
        while True:
            self._progress.clear()
            timeout = None if math.isinf(stall_seconds) else stall_seconds
            try:
                await asyncio.wait_for(self._progress.wait(), timeout)
                stalled = False
            except TimeoutError:
                stalled = not self._loading.done()
            if self._loading.done():
                return self._loading.result()
            if stalled:
                self._loading.cancel()
                self._end_it(f"the load made no progress for {stall_seconds:g} s")
                raise ModelLoadError(
                    f"loading the model made no progress for {stall_seconds:g} s: it was ended"
                )

    def generate(self, request: Generate) -> Reply:
        """Start a request; the reply's iteration tells how it goes."""
        reply = Reply(request.id, lambda: self._cancel(request.id))
        if not self.alive:
            reply.fail(EngineError(f"{STOPPED}: {self._why or 'it is being closed'}"))
            return reply
        self._send(request)  # raises where it is too large
        self._replies[request.id] = reply
        return reply

    async def close(self) -> None:
        """End every request and the process, and wait until it is gone. Idempotent."""
        if not self._closing and not self.ended.is_set():
            self._closing = True
            self._send(Shutdown())
        try:
            await asyncio.wait_for(self.ended.wait(), CLOSE_SECONDS)
        except TimeoutError:
            log.warning("the runner %d did not end within %g s and is killed", self.pid, CLOSE_SECONDS)
            self._process.kill()
            await self.ended.wait()

    def kill(self) -> None:
        """End the process at once; whoever does has a reason that needs no line in the log."""
        self._closing = True
        self._process.kill()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of another class

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= 4:
            size = int.from_bytes(self._buffer[start : start + 4], "little")
            if size > MAX_FRAME:
                self._end_it(f"it sent a frame of {size} bytes")
                return
            if len(self._buffer) - start - 4 < size:
                break
            try:
                message = _decode(memoryview(self._buffer)[start + 4 : start + 4 + size])
            except msgspec.DecodeError as error:
                self._end_it(f"it sent something that is no message: {error}")
                return
            self._handle(message)
            start += 4 + size
        del self._buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`: the process has ended or is about to."""
        if not self._closing:
            self._process.kill()

    # Messages.

    def _handle(self, message: FromRunner) -> None:
        match message:
            case Step(pieces):
                for piece in pieces:
                    reply = self._replies.get(piece.id)
                    if reply is not None:
                        reply.put(piece)
            case Done():
                reply = self._replies.pop(message.id, None)
                if reply is not None:
                    reply.finish(message)
            case Failed(id, kind, text):
                reply = self._replies.pop(id, None)
                if reply is not None:
                    reply.fail(_error(kind, text))
            case Pong():
                self._missed = 0
                moved = message.n_decoded != self._last_pong.n_decoded or message.n_running == 0
                self._idle = 0 if moved else self._idle + 1
                self._last_pong = message
            case Progress():
                self._progress.set()
            case Loaded():
                self._settle(message)
            case LoadFailed(kind, text):
                self._settle(_error(kind, text))
            case Hello(protocol, version):
                mine = f"{__version__} {_build.LLAMA_CPP_VERSION}"
                if (protocol, version) != (PROTOCOL, mine):
                    self._end_it(f"it is of version {version}, the server of {mine}: start the server again")
                elif not self._hello.done():
                    self._hello.set_result(None)

    def _settle(self, outcome: Loaded | Error) -> None:
        self._progress.set()
        if self._loading is None or self._loading.done():
            return
        if isinstance(outcome, Loaded):
            self._loading.set_result(outcome)
        else:
            self._loading.set_exception(outcome)

    def _send(self, message: ToRunner) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(message))

    def _cancel(self, id: int) -> None:
        self._replies.pop(id, None)
        self._send(Cancel(id))

    # Life and death.

    def _end_it(self, why: str) -> None:
        self._why = self._why or why
        self._process.kill()

    async def _watch_process(self) -> None:
        pinging = asyncio.create_task(self._ping())
        how = await self._process.ended()
        pinging.cancel()
        if self._transport is not None:
            self._transport.close()
        if not self._closing:
            log.error("the runner %d ended: %s", self.pid, self._why or how)
        self._why = f"{self._why}; {how}" if self._why else how
        self.ended.set()
        error = EngineError("the model was unloaded" if self._closing else f"{STOPPED}: {self._why}")
        replies, self._replies = self._replies, {}
        for reply in replies.values():
            reply.fail(error)
        self._settle(error)
        if not self._hello.done():
            self._hello.set_exception(error)
        self.on_end()

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            if self._missed >= MOST_MISSED:
                self._end_it(f"it did not answer for {MOST_MISSED * PING_SECONDS:g} s")
            elif self._idle >= MOST_IDLE:
                self._end_it(f"its engine computed nothing for {MOST_IDLE * PING_SECONDS:g} s")
            self._missed += 1
            self._send(Ping())


def _error(kind: str, text: str) -> Error:
    """The exception that the runner caught, again."""
    found = getattr(errors, kind, EngineError)
    made: Error = found(text) if isinstance(found, type) and issubclass(found, Error) else EngineError(text)
    return made
