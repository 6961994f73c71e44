"""Which models are loaded, and for how long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from pyollama.create import CreateRequest, create_model
from pyollama.engine import Options
from pyollama.errors import Closed, Error, InvalidModelFile
from pyollama.scheduler import Scheduler
from pyollama.settings import Settings
from pyollama.store import Store, StoredModel

NONE = Options()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_in_32_bits: Path) -> Store:
    """A store with tiny and a second model of other weights."""
    store = Store([tmp_path_factory.mktemp("store"), *Store.default().roots[1:]])
    with store.new_blob() as blob:
        blob.write(tiny_in_32_bits.read_bytes())
        digest, _, _ = blob.finish()
    list(create_model(store, CreateRequest(model="other", files={"other.gguf": digest})))
    return store


def scheduling(use: Callable[[Scheduler], Awaitable[None]], **settings: object) -> None:
    """Use a scheduler and close it."""

    async def main() -> None:
        given = msgspec.structs.replace(Settings.from_environment({}), **settings)
        scheduler = Scheduler(given)
        try:
            await asyncio.wait_for(use(scheduler), 60)
        finally:
            await asyncio.wait_for(scheduler.close(), 20)

    asyncio.run(main())


async def soon(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come about in time")


def names(scheduler: Scheduler) -> list[str]:
    return [model.name for model in scheduler.loaded()]


def test_keep_alive(store: Store) -> None:
    """Catches models that stay for ever, or go while somebody uses them."""
    tiny = store.find("tiny")

    async def use(scheduler: Scheduler) -> None:
        with await scheduler.lease(tiny, NONE, 0.3):
            await asyncio.sleep(0.6)
            assert names(scheduler) == ["tiny:latest"]
        assert names(scheduler) == ["tiny:latest"]
        await soon(lambda: names(scheduler) == [])

        with await scheduler.lease(tiny, NONE, math.inf):
            pass
        with await scheduler.lease(tiny, NONE, None):  # keeps what the model has
            pass
        assert math.isinf(scheduler.loaded()[0].expires_at)
        with await scheduler.lease(tiny, NONE, 0):
            assert names(scheduler) == ["tiny:latest"]
        await soon(lambda: names(scheduler) == [])

    scheduling(use, keep_alive=100.0)


def test_who_went_away_while_it_loaded(store: Store) -> None:
    """Catches a model that nobody asked for in the end and that stays for ever."""

    async def use(scheduler: Scheduler) -> None:
        task = asyncio.create_task(scheduler.lease(store.find("tiny"), NONE, 0))
        await asyncio.sleep(0.05)
        task.cancel()
        await soon(lambda: not scheduler._models)

    scheduling(use)


def test_one_model_at_a_time(store: Store) -> None:
    """Catches two models that wait for each other, or more models than are allowed."""
    models = [store.find("tiny"), store.find("other")]

    async def use(scheduler: Scheduler) -> None:
        async def one(stored: StoredModel) -> None:
            with await scheduler.lease(stored, NONE, None):
                assert len(scheduler.loaded()) == 1
                await asyncio.sleep(0.01)

        await asyncio.gather(*(one(models[index % 2]) for index in range(8)))

    scheduling(use, max_loaded_models=1)


def test_a_failing_load_tells_everybody(store: Store, tmp_path: Path) -> None:
    """Catches clients that wait for a load that has failed, and a model that stays unusable afterwards."""
    other = store.find("other")
    path, whole = other.model_path, other.model_path.read_bytes()

    async def use(scheduler: Scheduler) -> None:
        path.write_bytes(b"GGUF" + bytes(len(whole) - 4))
        try:
            waiting = [scheduler.lease(other, NONE, None) for _ in range(5)]
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(result, InvalidModelFile) for result in results), results
        finally:
            path.write_bytes(whole)
        with await scheduler.lease(other, NONE, None):
            assert names(scheduler) == ["other:latest"]

    scheduling(use)


def test_options_that_need_a_reload(store: Store) -> None:
    """Catches options that are ignored because the model is loaded, and reloads that nobody needs."""
    tiny = store.find("tiny")

    async def use(scheduler: Scheduler) -> None:
        async def process(**options: object) -> int:
            with await scheduler.lease(tiny, Options.parse(options), None) as lease:
                return lease.model.runner.pid

        first = await process(num_ctx=512)
        assert await process(num_ctx=256) == first
        assert await process(num_ctx=512, temperature=0.5) == first
        second = await process(num_ctx=1024)
        assert second != first
        assert await process(num_ctx=512, num_batch=16) == second
        third = await process(num_ctx=512, num_thread=1)
        assert third != second
        assert await process(num_ctx=512) == third  # how fast it is, was not said
        assert scheduler.loaded()[0].loaded.n_ctx == 1024
        fourth = await process(num_ctx=512, kv_cache_type="q8_0", num_thread=1)
        assert fourth != third
        assert await process(num_ctx=512, num_thread=1) != fourth  # it would answer otherwise

    scheduling(use)


def test_the_oldest_decides(store: Store) -> None:
    """Catches a request that waits for ever behind others that suit what is loaded, and loads without end."""
    tiny = store.find("tiny")

    async def use(scheduler: Scheduler) -> None:
        processes: set[int] = set()
        done = asyncio.Event()

        async def plain() -> None:
            while not done.is_set():
                with await scheduler.lease(tiny, NONE, None) as lease:
                    processes.add(lease.model.runner.pid)
                    await asyncio.sleep(0.01)

        async def special(options: Options) -> None:
            with await scheduler.lease(tiny, options, None) as lease:
                processes.add(lease.model.runner.pid)
                assert lease.model.suits(options, 0)

        clients = [asyncio.create_task(plain()) for _ in range(4)]
        await asyncio.sleep(0.5)
        await asyncio.gather(special(Options(kv_cache_type="q8_0")), special(Options(num_thread=1)))
        done.set()
        await asyncio.gather(*clients)
        assert len(processes) <= 4

    scheduling(use)


def test_a_model_that_was_made_anew(store: Store) -> None:
    """Catches weights that stay loaded for ever because their name means others now."""

    async def use(scheduler: Scheduler) -> None:
        with await scheduler.lease(store.find("other"), NONE, math.inf):
            pass
        replaced = msgspec.structs.replace(store.find("tiny"), name=store.find("other").name)
        await scheduler.unload(replaced)
        assert names(scheduler) == []

    scheduling(use)


def test_unloading(store: Store) -> None:
    """Catches an unload that ends a running request, or is forgotten."""
    tiny = store.find("tiny")

    async def use(scheduler: Scheduler) -> None:
        await scheduler.unload(tiny)
        with await scheduler.lease(tiny, NONE, None):
            await scheduler.unload(tiny)
            assert names(scheduler) == ["tiny:latest"]
        await soon(lambda: names(scheduler) == [])
        with await scheduler.lease(tiny, NONE, math.inf):
            pass
        await scheduler.unload(tiny)
        assert names(scheduler) == []

    scheduling(use)


def test_a_runner_that_dies_while_idle(store: Store) -> None:
    """Catches a dead model that is handed out."""
    tiny = store.find("tiny")

    async def use(scheduler: Scheduler) -> None:
        with await scheduler.lease(tiny, NONE, None) as lease:
            first = lease.model.runner
        first.kill()
        await soon(lambda: names(scheduler) == [])
        with await scheduler.lease(tiny, NONE, None) as lease:
            assert lease.model.runner.alive

    scheduling(use)


def test_closing(store: Store) -> None:
    """Catches a scheduler that takes requests after it was closed, or leaves one waiting."""
    tiny = store.find("tiny")

    async def main() -> None:
        scheduler = Scheduler(Settings.from_environment({}))
        waiting = asyncio.create_task(scheduler.lease(tiny, NONE, None))
        await asyncio.sleep(0.05)
        await scheduler.close()
        with pytest.raises(Error):
            await asyncio.wait_for(waiting, 10)
        with pytest.raises(Closed):
            await scheduler.lease(tiny, NONE, None)

    asyncio.run(main())
