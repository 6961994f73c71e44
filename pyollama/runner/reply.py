"""The answer of a runner to one request, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pyollama.errors import Cancelled, EngineError, Error
from pyollama.runner.messages import Done, Piece

__all__ = ["Reply"]

# Characters, and 64 for each log-probability, that may wait for a client who does not read. More than any answer
# of a usual length; the engine does not wait for slow clients, as others would have to wait with it.
MOST_WAITING = 1 << 20


class Reply:
    """Iterates over the pieces of an answer; what nobody has taken yet is merged into one.

    Args:
        id: Of the request.
        cancel: Ends the request in the runner.

    Raises (while iterating):
        Error: The request failed, was cancelled, or its runner ended.

    Example::

        async for piece in reply:
            print(piece.text)
        print(reply.done.stats)
    """

    def __init__(self, id: int, cancel: Callable[[], None]) -> None:
        self.id = id
        self._cancel = cancel
        self._pieces: list[Piece] = []
        self._waiting = 0
        self._done: Done | None = None
        self._error: Error | None = None
        self._ready = asyncio.Event()
        self._on_end: Callable[[], None] = lambda: None

    @property
    def done(self) -> Done:
        """The last message; there is one when the iteration has ended without an error."""
        assert self._done is not None, "the answer has not ended"
        return self._done

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._done is not None or self._error is not None

    def when_ended(self, act: Callable[[], None]) -> None:
        """Act once the runner is done with the request, whether or not anybody has read the answer."""
        if self.ended:
            act()
        else:
            self._on_end = act

    def put(self, piece: Piece) -> None:
        """Take a piece from the runner."""
        if self.ended:
            return
        self._pieces.append(piece)
        self._waiting += len(piece.text) + sum(64 * (1 + len(top)) for _, top in piece.logprobs)
        if self._waiting > MOST_WAITING:
            self.fail(Cancelled("the client reads too slowly: too much of the answer waits for it"))
            self._cancel()
        self._ready.set()

    def finish(self, done: Done) -> None:
        """Take the last message."""
        if not self.ended:
            self._done = done
            self._ready.set()
            self._on_end()

    def fail(self, error: Error) -> None:
        """End with an error. What came before it is still delivered."""
        if not self.ended:
            self._error = error
            self._ready.set()
            self._on_end()

    def close(self) -> None:
        """Cancel the request if it still runs. Idempotent."""
        if not self.ended:
            self.fail(EngineError("the reply was closed"))
            self._cancel()

    def __aiter__(self) -> Reply:
        return self

    async def __anext__(self) -> Piece:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._done is not None:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        if len(pieces) == 1:
            return pieces[0]
        logprobs = tuple(entry for piece in pieces for entry in piece.logprobs)
        return Piece(self.id, "".join(piece.text for piece in pieces), logprobs)
