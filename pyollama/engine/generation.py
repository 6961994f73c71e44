"""A request that runs: its events, one after the other."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING

from pyollama import errors
from pyollama.engine import backend

if TYPE_CHECKING:
    # Higher layers take them from here, as they must not know native.
    from pyollama.native.engine import Channel as Channel
    from pyollama.native.engine import Event as Event

__all__ = ["AsyncGeneration", "Generation"]

# How long to wait in native code before Python may act on a signal such as Ctrl-C, in seconds.
PATIENCE = 0.2


def _checked(event: Event) -> Event:
    """The event, unless it says that the request failed."""
    if event.finish == "error":
        kind: type[errors.Error] = getattr(errors, event.error_type)
        if kind is errors.Closed:
            backend.end_thread_at_exit()
        raise kind(event.error)
    if event.finish == "cancelled":
        raise errors.Cancelled("the generation was cancelled")
    return event


class Generation:
    """Iterates over what happens to a request. One thread iterates; any thread may cancel.

    An event has ``text`` (str), ``tokens`` (list of int), ``logprobs`` (None or a list), and in the last one
    ``finish`` ("stop" or "length"), ``stop`` (the stop string that ended it) and ``stats`` (a dict). Steps that
    nobody has collected yet are merged into one event.

    Raises (while iterating):
        Cancelled: Somebody cancelled the request.
        Closed: The engine was closed, or this is a child of the process that it runs in.
        EngineError: The engine failed.
    """

    def __init__(self, channel: Channel, request_id: int, cancel: Callable[[], None]) -> None:
        self._channel = channel
        self._cancel = cancel
        self._pid = os.getpid()
        self._events: deque[Event] = deque()
        self.request_id = request_id
        self.finished = False

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> Event:
        if self.finished:
            raise StopIteration
        while not self._events:
            if self.finished:  # another thread has read the end
                raise StopIteration
            if self._pid != os.getpid():
                raise errors.Closed(
                    f"the generation belongs to process {self._pid}, which it was forked from"
                )
            # One call, so that Ctrl-C cannot come between taking events and keeping them.
            self._events.extend(chain.from_iterable(map(self._channel.collect, (PATIENCE,))))
        event = self._events.popleft()
        self.finished = event.finish is not None
        return _checked(event)

    def cancel(self) -> None:
        """End the request before its next micro-batch. Idempotent."""
        self._cancel()

    def close(self) -> None:
        """Cancel the request if it still runs, and iterate no further. Idempotent."""
        if not self.finished:
            self.finished = True
            self._cancel()

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class AsyncGeneration:
    """As `Generation`, for ``async for``. Belongs to the event loop that it was made in."""

    def __init__(self) -> None:
        self.finished = False
        self.request_id = 0
        self._pid = os.getpid()
        self._cancel: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._ready = asyncio.Event()

    def begin(self, request_id: int, cancel: Callable[[], None]) -> None:
        """Say which request it is, from another thread; it may have been closed already."""
        self.request_id = request_id
        self._cancel = cancel
        if self.finished:
            cancel()

    def post(self, event: Event) -> None:
        """Take an event from another thread."""
        if event.finish == "error" and backend.is_exiting():
            return  # only a loop in a daemon thread is left, and its task could only complain
        try:
            self._loop.call_soon_threadsafe(self._put, event)
        except RuntimeError:  # the loop is closed: nobody will read on
            self.close()

    def _put(self, event: Event) -> None:
        self._events.append(event)
        self._ready.set()

    def __aiter__(self) -> AsyncGeneration:
        return self

    async def __anext__(self) -> Event:
        if self.finished:
            raise StopAsyncIteration
        while not self._events:
            if self._pid != os.getpid():
                raise errors.Closed(
                    f"the generation belongs to process {self._pid}, which it was forked from"
                )
            self._ready.clear()
            await self._ready.wait()
        event = self._events.popleft()
        self.finished = event.finish is not None
        return _checked(event)

    def cancel(self) -> None:
        """End the request before its next micro-batch. Idempotent."""
        if self._cancel is not None:
            self._cancel()

    def close(self) -> None:
        """As `aclose`."""
        if not self.finished:
            self.finished = True
            self.cancel()

    async def aclose(self) -> None:
        """Cancel the request if it still runs, and iterate no further. Idempotent."""
        self.close()

    async def __aenter__(self) -> AsyncGeneration:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self.close()
