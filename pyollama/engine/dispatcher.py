"""Events of many requests, handed to whoever waits for each."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pyollama.native.engine import Event

__all__ = ["Dispatcher"]


class Receiver(Protocol):
    """Whoever waits for the events of one request."""

    def post(self, event: Event) -> None: ...


class Dispatcher:
    """One thread that collects the events of many requests from one channel.

    It serves event loops, which cannot block in a channel of their own.

    Example::

        dispatcher = Dispatcher()
        request_id = engine.submit(..., dispatcher.channel)
        dispatcher.register(request_id, receiver)
    """

    def __init__(self) -> None:
        from pyollama.native import engine as native_engine

        self.channel = native_engine.Channel()
        self._lock = threading.Lock()
        # Weak, so that a receiver that everybody else has dropped goes away, and cancels its request by that.
        self._receivers: dict[int, weakref.ref[Receiver]] = {}
        # Events can arrive before their request is registered, as its id is known only after it was submitted.
        self._early: dict[int, list[Event]] = {}
        self._closed = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="pyollama-dispatcher", daemon=True)
        self._thread.start()

    def register(self, request_id: int, receiver: Receiver) -> None:
        """Post the events of a request to ``receiver``, on the dispatcher's thread; also those already here."""
        with self._lock:
            self._receivers[request_id] = weakref.ref(receiver)
            for event in self._early.pop(request_id, ()):
                self._deliver(event)

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._closed = True
        if self._pid != os.getpid():
            return  # a fork has the channel as it was, perhaps locked for good, and not the thread
        self.channel.interrupt()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._collect(3600.0)
        self._collect(0.0)  # what the engine posted while it was closed

    def _collect(self, timeout: float) -> None:
        events = self.channel.collect(timeout)
        with self._lock:
            for event in events:
                self._deliver(event)

    def _deliver(self, event: Event) -> None:
        if event.request_id not in self._receivers:
            self._early.setdefault(event.request_id, []).append(event)
            return
        receiver = self._receivers[event.request_id]()
        if event.finish is not None:
            del self._receivers[event.request_id]
        if receiver is not None:
            receiver.post(event)
