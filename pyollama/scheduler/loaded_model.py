"""A model that is loaded, or is being loaded."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyollama.engine import OPTIONS, Options
from pyollama.runner import Loaded, Runner
from pyollama.scheduler.files import ModelFiles

__all__ = ["Lease", "LoadedModel", "load_options"]

# What makes the same request give another answer. The other load options only decide how fast it comes: who does
# not give them takes a loaded model as it is.
DECIDES_THE_ANSWER = (
    *("num_gqa", "f16_kv", "kv_cache_type", "flash_attention"),
    *("rope_frequency_base", "rope_frequency_scale", "vocab_only", "embedding_only"),
)
# Options of which less than the loaded model has is enough.
LIMITS = ("num_ctx", "num_batch")


def load_options(options: Options) -> Options:
    """The options to load a model with for a request with these: a smaller batch is the request's own affair."""
    given = {name: value for name, value in options.given().items() if OPTIONS[name].group == "load"}
    least = OPTIONS["num_batch"].default
    if given.get("num_batch", least) < least:
        del given["num_batch"]
    return Options(**given)


class LoadedModel:
    """A runner and who uses it. Belongs to the scheduler, and to its event loop.

    Args:
        name: Of the model that was asked for first, for people.
        digest: Of its manifest.
        files: What is loaded.
        options: The options that it is loaded with; see `load_options`.
        keep_alive: Seconds to stay loaded after the last request; ``math.inf``: for ever.
        on_idle: Called when the last request has ended.
    """

    def __init__(
        self,
        name: str,
        digest: str,
        files: ModelFiles,
        options: Options,
        keep_alive: float,
        on_idle: Callable[[LoadedModel], None],
    ) -> None:
        self.name = name
        # Of every model that was asked for and has these files: the digest of its manifest.
        self.names = {name: digest}
        self.files = files
        self.options = options
        self.keep_alive = keep_alive
        self.n_active = 0
        self.n_waiting = 0
        self.needed = 0
        self.has_room = False
        self.loaded_at = self.used_at = time.monotonic()
        self.retiring = False
        self.loading: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._expires_at = math.inf
        self._on_idle = on_idle
        self._runner: Runner | None = None
        self._loaded: Loaded | None = None

    @property
    def runner(self) -> Runner:
        """The runner; there is one once the model is loaded."""
        assert self._runner is not None
        return self._runner

    @property
    def loaded(self) -> Loaded:
        """What the runner told of the loaded model."""
        assert self._loaded is not None
        return self._loaded

    @property
    def ready(self) -> bool:
        """Whether it can take requests."""
        return self._loaded is not None and not self.retiring and self.runner.alive

    @property
    def idle(self) -> bool:
        """Whether it could be unloaded with nobody noticing: who has waited for the load comes first."""
        return self.ready and not self.n_active and not self.n_waiting

    def became_ready(self, runner: Runner, loaded: Loaded) -> None:
        """The load has succeeded."""
        self._runner, self._loaded = runner, loaded
        self.loaded_at = time.monotonic()

    def suits(self, options: Options, wanted_ctx: int) -> bool:
        """Whether a request can use it as it is loaded.

        Args:
            options: What request, model and server have given.
            wanted_ctx: Tokens of context that it would get from a load of its own.
        """
        mine, given = self.options.resolve().load, options.given()
        wanted = options.resolve().load
        for name, spec in OPTIONS.items():
            if spec.group != "load" or name in LIMITS:
                continue
            decides = name in given or name in DECIDES_THE_ANSWER
            if decides and getattr(wanted, name) != getattr(mine, name):
                return False
        if "num_batch" in given and wanted.num_batch > mine.num_batch:
            return False
        return wanted_ctx <= self.loaded.n_ctx

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Count whoever waits until it is loaded."""
        self.n_waiting += 1
        try:
            yield
        finally:
            self.n_waiting -= 1
            if self.loading is None and self._loaded is not None and not self.n_waiting and not self.n_active:
                self._on_idle(self)  # whoever has waited may have gone away

    def lease(self) -> Lease:
        """Use it for a request."""
        self.n_active += 1
        self._stop_timer()
        return Lease(self)

    def release(self) -> None:
        """A request has ended."""
        self.n_active -= 1
        self.used_at = time.monotonic()
        if self.n_active == 0:
            self._on_idle(self)

    def expire_after(self, seconds: float, expire: Callable[[], None]) -> None:
        """Start the timer that unloads it, unless it stays for ever."""
        self._stop_timer()
        self._expires_at = time.time() + seconds
        if not math.isinf(seconds):
            self.timer = asyncio.get_running_loop().call_later(seconds, expire)

    @property
    def expires_at(self) -> float:
        """When it will be unloaded, in seconds since 1970; ``math.inf``: never."""
        return time.time() + self.keep_alive if self.n_active else self._expires_at

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Lease:
    """The use of a loaded model by one request; a context manager.

    Args:
        model: The model.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self._released = False

    def release(self) -> None:
        """End the use. Idempotent."""
        if not self._released:
            self._released = True
            self.model.release()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
