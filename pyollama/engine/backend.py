"""llama.cpp in this process: started once, and brought to rest before the interpreter goes."""

from __future__ import annotations

import atexit
import weakref
from typing import Any, Protocol

from pyollama import native

__all__ = ["close_at_exit", "devices", "live_handles", "recent_log", "start", "system_info"]


class Closable(Protocol):
    """What has native threads behind it."""

    def close(self) -> None: ...


_open: weakref.WeakSet[Any] = weakref.WeakSet()


def start() -> None:
    """Load the native libraries and start llama.cpp. Later calls do nothing."""
    from pyollama.native import backend

    backend.init(str(native.LIBRARY_DIR))


def devices() -> list[dict[str, Any]]:
    """The devices that can compute: name, description, backend, is_gpu, memory_free and memory_total in bytes."""
    from pyollama.native import backend

    start()
    result: list[dict[str, Any]] = backend.devices()
    return result


def system_info() -> str:
    """llama.cpp's line about the processor features in use."""
    from pyollama.native import backend

    start()
    return str(backend.system_info())


def recent_log() -> str:
    """The last lines that llama.cpp logged, at most 16 KiB. Nothing of it is ever printed."""
    from pyollama.native import backend

    return str(backend.recent_log())


def live_handles() -> dict[str, int]:
    """How many native models, contexts and engines exist now; for tests that nothing leaks."""
    from pyollama.native import backend

    counts: dict[str, int] = backend.live_handles()
    return counts


def close_at_exit(closable: Closable) -> None:
    """Close it when the interpreter exits, if it is still alive and open then.

    Threads of an engine must not compute while the C++ runtime takes its static objects away.
    """
    _open.add(closable)


@atexit.register
def _close_all() -> None:
    for closable in list(_open):
        closable.close()
