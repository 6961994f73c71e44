"""llama.cpp in this process: started once, and brought to rest before the interpreter goes."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from pyollama import native

__all__ = [
    "Loading",
    "close_at_exit",
    "devices",
    "end_thread_at_exit",
    "is_exiting",
    "live_handles",
    "recent_log",
    "start",
    "system_info",
]


class Closable(Protocol):
    """What has native threads behind it."""

    def close(self) -> None: ...


_open: weakref.WeakSet[Closable] = weakref.WeakSet()
_lock = threading.Lock()
_exiting = threading.Event()


def start() -> None:
    """Load the native libraries and start llama.cpp. Later calls do nothing."""
    from pyollama.native import backend

    backend.init(str(native.LIBRARY_DIR))


def devices() -> list[dict[str, Any]]:
    """The devices that can compute: name, description, backend, is_gpu, memory_free and memory_total in bytes."""
    from pyollama.native import backend

    start()
    return backend.devices()


def system_info() -> str:
    """llama.cpp's line about the processor features in use."""
    from pyollama.native import backend

    start()
    return backend.system_info()


def recent_log() -> str:
    """The last lines that llama.cpp logged, at most 16 KiB. Nothing of it is ever printed."""
    from pyollama.native import backend

    return backend.recent_log()


def live_handles() -> dict[str, int]:
    """How many native models, contexts and engines exist now; for tests that nothing leaks."""
    from pyollama.native import backend

    return backend.live_handles()


def close_at_exit(closable: Closable) -> None:
    """Close it when the interpreter exits, if it is still alive and open then.

    Threads of an engine must not compute while the C++ runtime takes its static objects away.
    """
    with _lock:
        _open.add(closable)


def is_exiting() -> bool:
    """Whether the interpreter exits: every engine is closed, and of the threads only daemons are left."""
    return _exiting.is_set()


def end_thread_at_exit() -> None:
    """Call it where something turned out to be closed: a daemon thread ends quietly if the exit closed it.

    It would die of `Closed` otherwise, with a traceback on a program that did nothing wrong.
    """
    if is_exiting() and threading.current_thread().daemon:
        raise SystemExit


class Loading:
    """The progress callback of a load: lets Ctrl-C through, and ends the load when the interpreter exits.

    Native code that asks for the interpreter when that has gone takes the whole process with it; so the exit waits
    until the load has noticed.

    Args:
        progress: The caller's own callback, if there is one.
    """

    PATIENCE = 10.0  # seconds: the caller's callback may be stuck

    def __init__(self, progress: Callable[[float], bool | None] | None) -> None:
        self._progress = progress
        self._pid = os.getpid()
        self._ended = threading.Event()
        close_at_exit(self)
        end_thread_at_exit()  # it came too late for that

    def __call__(self, fraction: float) -> bool | None:
        if is_exiting():
            return False
        return self._progress(fraction) if self._progress is not None else None

    def end(self) -> None:
        """Say that the load is over."""
        self._ended.set()

    def close(self) -> None:
        """Wait until it is over, unless it runs in the process that this one was forked from."""
        if self._pid == os.getpid():
            self._ended.wait(self.PATIENCE)


@atexit.register
def _close_all() -> None:
    _exiting.set()
    with _lock:
        closables = list(_open)
    for closable in closables:
        closable.close()
