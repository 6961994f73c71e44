"""A runner and its process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from pyollama import errors
from pyollama.engine import Options
from pyollama.prompt import Message
from pyollama.runner import Generate, Load, Loaded, Reply, Runner
from pyollama.runner import runner as module

ENDLESS = Options(ignore_eos=True, num_predict=2**31 - 1, temperature=0)
SKY = (Message("user", "Why is the sky blue?"),)


def with_runner(use: Callable[[Runner], Awaitable[None]], load: Load | None = None) -> None:
    """Use a runner; afterwards its process is gone."""

    async def main() -> None:
        runner = await Runner.start()
        try:
            if load is not None:
                assert isinstance(await runner.load(load), Loaded)
            await use(runner)
        finally:
            await runner.close()
        assert not psutil.pid_exists(runner.pid)

    asyncio.run(main())


async def read(reply: Reply) -> str:
    return "".join([piece.text async for piece in reply])


def test_generate(tiny: Path) -> None:
    """Catches a conversation that is not answered, or whose counts do not arrive."""

    async def use(runner: Runner) -> None:
        reply = runner.generate(Generate(id=runner.new_id(), messages=SKY, options=Options(temperature=0)))
        assert "sky" in await read(reply)
        assert reply.done.reason == "stop"
        assert reply.done.stats["n_generated"] > 5
        assert reply.done.context == ()
        raw = Generate(id=runner.new_id(), prompt="The", options=Options(num_predict=3), want_context=True)
        reply = runner.generate(raw)
        await read(reply)
        assert len(reply.done.context) >= reply.done.stats["n_prompt"] + 2

    with_runner(use, Load(str(tiny)))


def test_errors_keep_their_kind(tiny: Path) -> None:
    """Catches an error that arrives as another one, and a runner that a bad request ends."""

    async def use(runner: Runner) -> None:
        cases: list[tuple[dict[str, object], type[errors.Error], str]] = [
            ({"format": '{"type": "nonsense"}', "messages": SKY}, errors.GrammarError, "nonsense"),
            ({"prompt": "word " * 9000, "truncate": False}, errors.ContextLengthExceeded, "2048"),
            ({"prompt": "x", "context": (10**6,)}, errors.InvalidRequest, "1000000"),
            ({"prompt": "x", "options": Options(grammar="root ::= (")}, errors.GrammarError, "grammar"),
        ]
        for given, kind, text in cases:
            reply = runner.generate(Generate(id=runner.new_id(), **given))  # type: ignore[arg-type]
            with pytest.raises(kind, match=text):
                await read(reply)
        assert await read(runner.generate(Generate(id=runner.new_id(), messages=SKY)))

    with_runner(use, Load(str(tiny)))


@pytest.mark.parametrize("what", ["missing", "text", "truncated"])
def test_a_model_that_cannot_be_loaded(tiny: Path, tmp_path: Path, what: str) -> None:
    """Catches a load that hangs, or whose error is lost."""
    path = tmp_path / "model.gguf"
    if what == "text":
        path.write_text("hello")
    elif what == "truncated":
        path.write_bytes(tiny.read_bytes()[:1_000_000])

    async def use(runner: Runner) -> None:
        kind = errors.ModelNotFound if what == "missing" else errors.InvalidModelFile
        with pytest.raises(kind):
            await runner.load(Load(str(path)))

    with_runner(use)


def test_cancelling_frees_the_engine(tiny: Path) -> None:
    """Catches an engine that works on for a request that was given up, in decode or in the middle of a prefill."""
    prefill = Generate(id=0, prompt="word " * 2000, options=Options(num_batch=16))

    async def use(runner: Runner) -> None:
        delays = []
        for attempt in range(8):
            long = Generate(id=runner.new_id(), prompt=f"{attempt} {prefill.prompt}", options=prefill.options)
            endless = Generate(id=runner.new_id(), messages=SKY, options=ENDLESS)
            reply = runner.generate(endless if attempt % 2 else long)
            if attempt % 2:
                await anext(reply)
            else:
                await asyncio.sleep(0.02)
            begin = time.perf_counter()
            reply.close()
            while (await status(runner)).n_running:
                assert time.perf_counter() < begin + 10
            delays.append(time.perf_counter() - begin)
        assert min(delays[::2]) < 0.1, delays
        assert min(delays[1::2]) < 0.1, delays

    with_runner(use, Load(str(tiny), options=Options(num_parallel=1)))


async def status(runner: Runner) -> module.Pong:
    before = runner._last_pong
    runner._send(module.Ping())
    while runner._last_pong is before:
        await asyncio.sleep(0.001)
    return runner._last_pong


def test_a_killed_runner_says_so(tiny: Path) -> None:
    """Catches readers that wait for a process that is gone, and pieces that are lost with it."""

    async def use(runner: Runner) -> None:
        ended = asyncio.Event()
        runner.on_end = ended.set
        reply = runner.generate(Generate(id=runner.new_id(), messages=SKY, options=ENDLESS))
        await anext(reply)
        os.kill(runner.pid, signal.SIGKILL)
        with pytest.raises(errors.EngineError, match=r"unexpectedly stopped.*SIGKILL"):
            await read(reply)
        await asyncio.wait_for(ended.wait(), 5)
        assert not runner.alive
        late = runner.generate(Generate(id=runner.new_id(), messages=SKY))
        with pytest.raises(errors.EngineError, match="unexpectedly stopped"):
            await read(late)

    with_runner(use, Load(str(tiny)))


def test_a_runner_that_hangs_is_ended(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a process that is there and does nothing, with everybody waiting for it."""
    monkeypatch.setattr(module, "PING_SECONDS", 0.3)

    async def use(runner: Runner) -> None:
        reply = runner.generate(Generate(id=runner.new_id(), messages=SKY, options=ENDLESS))
        await anext(reply)
        os.kill(runner.pid, signal.SIGSTOP)
        with pytest.raises(errors.EngineError, match="did not answer"):
            await asyncio.wait_for(read(reply), 10)

    with_runner(use, Load(str(tiny)))


def test_an_engine_that_computes_nothing_is_ended(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an engine that is stuck while its process goes on answering."""
    monkeypatch.setattr(module, "PING_SECONDS", 0.1)
    monkeypatch.setattr(module, "MOST_IDLE", 5)

    async def use(runner: Runner) -> None:
        handle = runner._handle

        def stuck(message: object) -> None:
            """As if the engine had a request and did nothing for it."""
            handle(module.Pong(1, 7) if isinstance(message, module.Pong) else message)  # type: ignore[arg-type]

        monkeypatch.setattr(runner, "_handle", stuck)
        await asyncio.wait_for(runner.ended.wait(), 10)
        late = runner.generate(Generate(id=runner.new_id(), messages=SKY))
        with pytest.raises(errors.EngineError, match="computed nothing"):
            await read(late)

    with_runner(use, Load(str(tiny)))


def test_a_load_that_stalls_is_ended(tiny: Path) -> None:
    """Catches a load that nobody ends."""

    async def use(runner: Runner) -> None:
        os.kill(runner.pid, signal.SIGSTOP)
        with pytest.raises(errors.ModelLoadError, match=r"no progress for 0\.2 s"):
            await runner.load(Load(str(tiny)), stall_seconds=0.2)

    with_runner(use)


def test_closing_ends_what_runs(tiny: Path) -> None:
    """Catches readers that are forgotten when a model is unloaded."""

    async def main() -> None:
        runner = await Runner.start()
        await runner.load(Load(str(tiny)))
        reply = runner.generate(Generate(id=runner.new_id(), messages=SKY, options=ENDLESS))
        await anext(reply)
        await runner.close()
        await runner.close()
        with pytest.raises(errors.Error):
            await asyncio.wait_for(read(reply), 5)

    asyncio.run(main())
