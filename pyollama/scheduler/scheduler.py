"""Decides which models are loaded."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

from pyollama.engine import Options
from pyollama.engine.sizing import available_memory
from pyollama.errors import Closed, Error, ModelLoadError, ServerBusy, StoreError
from pyollama.runner import Load, Runner
from pyollama.scheduler.files import ModelFiles
from pyollama.scheduler.loaded_model import Lease, LoadedModel, load_options
from pyollama.settings import Settings
from pyollama.store import StoredModel

__all__ = ["Scheduler"]

log = logging.getLogger("pyollama")

MOST_LOADED = 3  # models at once, unless the settings say something else
BUSY = "server busy, please try again.  maximum pending requests exceeded"


class _Ticket:
    """A request that waits for a model."""

    def __init__(self, files: ModelFiles) -> None:
        self.files = files
        self.began: LoadedModel | None = None  # the load that this request began


class Scheduler:
    """Loads models when they are asked for and unloads them when nobody has for a while.

    One load serves all who wait for it. A request that needs a model loaded otherwise waits until those that run on
    it have ended; then it is loaded anew, and who comes meanwhile waits too. Belongs to one event loop.

    Args:
        settings: Of the server.

    Example::

        with await scheduler.lease(stored, options, keep_alive=None) as lease:
            lease.model.runner.generate(...)
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models: dict[tuple[str, ...], LoadedModel] = {}
        self._waiting: dict[tuple[str, ...], deque[_Ticket]] = {}
        self._changed = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()
        self._context_lengths: dict[tuple[tuple[str, ...], int], int] = {}
        self._n_waiting = 0
        self._closed = False

    def loaded(self) -> list[LoadedModel]:
        """The models that are loaded, the one that stays longest first."""
        found = [model for model in self._models.values() if model.ready]
        return sorted(found, key=lambda model: model.expires_at, reverse=True)

    async def lease(self, stored: StoredModel, options: Options, keep_alive: float | None) -> Lease:
        """A loaded model for one request; release it when that has ended.

        Args:
            stored: Which model.
            options: What request, model and server have given, merged.
            keep_alive: Seconds to stay loaded afterwards; None: as long as it would anyway.

        Raises:
            ServerBusy: Too many requests wait already.
            Error: The model could not be loaded.
        """
        ticket = _Ticket(ModelFiles.of(stored))
        self._check_queue(ticket.files)
        waiting = self._waiting.setdefault(ticket.files.key, deque())
        waiting.append(ticket)
        self._n_waiting += 1
        try:
            return await self._wait_for(ticket, stored, options, keep_alive)
        finally:
            self._n_waiting -= 1
            waiting.remove(ticket)
            if not waiting and self._waiting.get(ticket.files.key) is waiting:
                del self._waiting[ticket.files.key]
            self._notify()  # another one may be the oldest now

    async def unload(self, stored: StoredModel) -> None:
        """Unload a model as soon as the requests that run on it have ended. Returns at once if there are some."""
        try:
            key = ModelFiles.of(stored).key
        except StoreError:  # a file is gone; what is loaded of it can go too
            key = ()
        for model in list(self._models.values()):
            # By its name too: the model may have been made anew since it was loaded.
            if model.files.key == key or stored.name.short in model.names:
                model.keep_alive = 0.0
                if model.idle:
                    await self._end(model)

    async def close(self) -> None:
        """End every runner."""
        self._closed = True
        for model in list(self._models.values()):
            if model.loading is not None:
                model.loading.cancel()
            else:
                self._start_ending(model)
        self._notify()
        while self._ending:
            await asyncio.wait(self._ending)

    # Waiting.

    def _check_queue(self, files: ModelFiles) -> None:
        if self._closed:
            raise Closed("the server is shutting down")
        model = self._models.get(files.key)
        if model is None and not self._n_waiting:
            return  # somebody has to begin
        if model is not None and model.ready and model.n_active < model.loaded.n_parallel:
            return
        queued = sum(max(0, model.n_active - model.loaded.n_parallel) for model in self.loaded())
        if self._n_waiting + queued >= self._settings.max_queue:
            raise ServerBusy(BUSY)

    async def _wait_for(
        self, ticket: _Ticket, stored: StoredModel, options: Options, keep_alive: float | None
    ) -> Lease:
        """Take the model as soon as it suits. Only the oldest of those who wait decides how it is loaded."""
        files = ticket.files
        wanted_ctx = await self._context_length(files, options)
        stay = self._settings.keep_alive if keep_alive is None else keep_alive
        while True:
            if self._closed:
                raise Closed("the server is shutting down")
            model = self._models.get(files.key)
            decides = self._waiting[files.key][0] is ticket
            if model is None:
                if not decides:
                    await self._change()
                    continue
                model = ticket.began = self._begin(stored, files, options, stay)
                self._notify()
            if model.loading is not None:
                await self._loading_ended(model)
                self._notify()  # one less who waits: see _make_room
                if self._models.get(files.key) is not model:
                    continue
            if model.ready and (model is ticket.began or model.suits(options, wanted_ctx)):
                if keep_alive is not None:
                    model.keep_alive = keep_alive
                model.names[stored.name.short] = stored.digest.hex
                return model.lease()
            if model.retiring or not model.runner.alive or not decides:
                await self._change()
            else:
                options = self._widened(options, model, wanted_ctx)
                self._retire(model)

    async def _loading_ended(self, model: LoadedModel) -> None:
        """Wait for a load together with others; whoever stops waiting does not stop the load."""
        task = model.loading
        assert task is not None
        with model.waited_for():
            await asyncio.wait([task])
        if task.cancelled():
            raise Closed("the server is shutting down")
        if (error := task.exception()) is not None:
            raise error

    async def _context_length(self, files: ModelFiles, options: Options) -> int:
        load = options.resolve().load
        key = (files.key, load.num_ctx or 0)
        if key not in self._context_lengths:
            length = await asyncio.to_thread(files.context_length, load)
            if len(self._context_lengths) >= 1000:
                self._context_lengths.clear()
            self._context_lengths[key] = length
        return self._context_lengths[key]

    def _widened(self, options: Options, model: LoadedModel, wanted_ctx: int) -> Options:
        """The options for a load that serves those of the loaded model too, if only the context was too small."""
        n_ctx = max(wanted_ctx, model.loaded.n_ctx)
        return Options.merge({"num_ctx": n_ctx}, options) if n_ctx != wanted_ctx else options

    async def _change(self) -> None:
        """Wait until something has changed since the caller last looked; it must not wait in between."""
        await self._changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # Loading.

    def _begin(self, stored: StoredModel, files: ModelFiles, options: Options, stay: float) -> LoadedModel:
        name, digest = stored.name.short, stored.digest.hex
        model = LoadedModel(name, digest, files, load_options(options), stay, self._became_idle)
        self._models[files.key] = model
        model.loading = asyncio.create_task(self._load(model))
        return model

    async def _load(self, model: LoadedModel) -> None:
        try:
            await self._make_room(model)
            try:
                await self._start(model)
            except ModelLoadError:
                # Perhaps memory was short after all: once more without the models that nobody uses.
                if not await self._evict_idle(model, everything=True):
                    raise
                await self._start(model)
        except BaseException as error:
            del self._models[model.files.key]
            if isinstance(error, Error):
                log.error("model %s could not be loaded: %s", model.name, error)
            raise
        finally:
            model.loading = None
            self._notify()
        if model.n_waiting == 0:  # else those who wait see to it
            self._became_idle(model)

    async def _start(self, model: LoadedModel) -> None:
        runner = await Runner.start()
        try:
            load = Load(
                str(model.files.model),
                tuple(str(path) for path in model.files.adapters),
                model.options,
            )
            loaded = await runner.load(load, stall_seconds=self._settings.load_timeout)
        except BaseException:
            runner.kill()
            raise
        runner.on_end = lambda: self._runner_ended(model)
        model.became_ready(runner, loaded)
        if not runner.alive:  # it ended before anybody listened
            self._runner_ended(model)
        log.info(
            "model %s is loaded: %d requests of %d tokens at once, %d threads, %.1f MB, process %d",
            *(model.name, loaded.n_parallel, loaded.n_ctx, loaded.n_threads, loaded.size / 1e6, runner.pid),
        )

    async def _make_room(self, model: LoadedModel) -> None:
        """Unload idle models where there are too many or memory is short; wait where none is idle."""
        most = self._settings.max_loaded_models or MOST_LOADED
        model.needed = await asyncio.to_thread(model.files.memory_needed, model.options.resolve().load)
        while True:
            others = [other for other in self._models.values() if other is not model and other.has_room]
            promised = sum(other.needed for other in others if other.loading is not None)
            short = model.needed + promised > available_memory()
            if not others or (len(others) < most and not short):
                break
            if await self._evict_idle(model):
                continue
            if not any(other.loading is not None or other.retiring or other.n_waiting for other in others):
                # All are in use. Newcomers to one of them have to wait, or this model would for ever.
                oldest = min(others, key=lambda other: other.loaded_at)
                log.info("model %s waits for the requests on %s to end", model.name, oldest.name)
                self._retire(oldest)
            await self._change()
        model.has_room = True

    async def _evict_idle(self, model: LoadedModel, *, everything: bool = False) -> bool:
        """Unload the model that nobody has used for longest, or all that nobody uses; False: there is none."""
        idle = [other for other in self._models.values() if other is not model and other.idle]
        idle.sort(key=lambda other: other.used_at)
        for other in idle if everything else idle[:1]:
            log.info("model %s makes way for %s", other.name, model.name)
            await self._end(other)
        return bool(idle)

    # Unloading.

    def _became_idle(self, model: LoadedModel) -> None:
        if self._models.get(model.files.key) is not model:
            return
        if model.retiring or model.keep_alive <= 0:
            self._start_ending(model)
        else:
            model.expire_after(model.keep_alive, lambda: self._start_ending(model))
            self._notify()  # it can make way now

    def _retire(self, model: LoadedModel) -> None:
        """Let what runs on it end, and unload it then."""
        model.retiring = True
        if model.n_active == 0:
            self._start_ending(model)

    def _start_ending(self, model: LoadedModel) -> None:
        if self._models.get(model.files.key) is model:
            self._soon(self._end(model))

    async def _end(self, model: LoadedModel) -> None:
        if model.n_active and not self._closed:  # somebody was quicker
            return
        model.retiring = True
        if model.runner.alive:
            log.info("model %s is unloaded", model.name)
        await model.runner.close()
        if self._models.get(model.files.key) is model:
            del self._models[model.files.key]
        self._notify()

    def _runner_ended(self, model: LoadedModel) -> None:
        if self._models.get(model.files.key) is model:
            del self._models[model.files.key]
        self._notify()

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
