"""Streams: the same answer in pieces, and what becomes of one that nobody reads to its end."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest

import pyollama
from pyollama.errors import Cancelled, InvalidRequest
from pyollama.llm import Chunk, Completion, Stream

from .helpers import ENDLESS, GREEDY, is_free, wait_until_busy, wait_until_free

SKY = "Why is the sky blue?"


def facts(answer: Completion) -> tuple[Any, ...]:
    """What must be the same each time."""
    logprobs = [entry.token for entry in answer.logprobs]
    return answer.text, answer.tokens, logprobs, answer.done_reason, answer.stop, answer.context


@pytest.mark.parametrize(
    "arguments",
    [
        {"options": GREEDY},
        {"options": {**GREEDY, "stop": ["blue light"]}},
        {"options": {**GREEDY, "num_predict": 5}},
        {"options": {**GREEDY, "num_predict": 0}},
        {"options": {**GREEDY, "num_predict": 60}, "format": "json"},
        {"options": {"temperature": 1.2, "seed": 4}, "logprobs": 2},
        {"options": GREEDY, "raw": True},
    ],
    ids=["plain", "stop", "length", "nothing", "json", "logprobs", "raw"],
)
def test_same_as_whole(llm: pyollama.LLM, arguments: dict[str, Any]) -> None:
    """Catches a stream whose pieces are not the answer that comes without it."""
    whole = llm.generate(SKY, **arguments)
    stream = llm.generate(SKY, stream=True, **arguments)
    assert isinstance(stream, Stream)
    chunks = list(stream)
    result = stream.result
    assert facts(result) == facts(whole)
    assert all(isinstance(chunk, Chunk) for chunk in chunks)
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert tuple(token for chunk in chunks for token in chunk.tokens) == whole.tokens
    assert sum((chunk.logprobs for chunk in chunks), ()) == result.logprobs
    assert next(stream, None) is None, "it stays at its end"


def test_chat(llm: pyollama.LLM) -> None:
    """Catches a stream of a conversation without a message at its end."""
    messages = [{"role": "user", "content": SKY}]
    with llm.chat(messages, stream=True, options=GREEDY) as stream:
        text = "".join(chunk.text for chunk in stream)
    assert stream.result.message.content == text == llm.chat(messages, options=GREEDY).text


def test_comes_in_pieces(llm: pyollama.LLM) -> None:
    """Catches a stream that hands out everything at the end: the engine must be at work between pieces."""
    with llm.generate("Once", raw=True, stream=True, options=ENDLESS) as stream:
        pieces = [next(stream) for _ in range(3)]
        assert not is_free(llm)
        assert all(piece.tokens for piece in pieces)
        with pytest.raises(InvalidRequest, match="has not ended"):
            _ = stream.result


def test_whole_characters(llm: pyollama.LLM) -> None:
    """Catches half a character in a piece; here each one takes several tokens."""
    text = "漢é🙂é漢🙂"
    with llm.generate("Hi", stream=True, options={**GREEDY, "grammar": f'root ::= "{text}"'}) as stream:
        chunks = [chunk.text for chunk in stream]
    assert "".join(chunks) == text
    assert len(stream.result.tokens) > len(text)
    assert all(set(chunk) <= set(text) for chunk in chunks)


def test_slow_reader_loses_nothing(llm: pyollama.LLM) -> None:
    """Catches pieces that are dropped, not joined, while nobody reads."""
    whole = llm.generate(SKY, options=GREEDY)
    stream = llm.generate(SKY, stream=True, options=GREEDY)
    first = next(stream)
    wait_until_free(llm)
    rest = list(stream)
    assert first.text + "".join(chunk.text for chunk in rest) == whole.text
    assert len(rest) == 1


def test_read(llm: pyollama.LLM) -> None:
    """Catches a read() that forgets what was read before."""
    stream = llm.generate(SKY, stream=True, options=GREEDY)
    next(stream)
    assert stream.read().text == llm.generate(SKY, options=GREEDY).text


def test_close_frees_the_engine(llm: pyollama.LLM) -> None:
    """Catches a generation that goes on for nobody after its stream was closed."""
    stream = llm.generate("Once", raw=True, stream=True, options=ENDLESS)
    next(stream)
    stream.close()
    stream.close()
    wait_until_free(llm)
    assert list(stream) == []
    with pytest.raises(InvalidRequest, match="has not ended"):
        _ = stream.result


def test_break_and_exceptions_free_the_engine(llm: pyollama.LLM) -> None:
    """Catches a with block that leaves the generation running when it is left early."""
    with llm.generate("Once", raw=True, stream=True, options=ENDLESS) as stream:
        for _ in stream:
            break
    wait_until_free(llm)
    with suppress(ZeroDivisionError), llm.generate("Once", raw=True, stream=True, options=ENDLESS) as stream:
        next(stream)
        raise ZeroDivisionError
    wait_until_free(llm)


def test_forgotten_stream_frees_the_engine(llm: pyollama.LLM) -> None:
    """Catches a generation that holds its place for ever because nobody closed the stream."""
    stream = llm.generate("Once", raw=True, stream=True, options=ENDLESS)
    next(stream)
    del stream
    gc.collect()
    wait_until_free(llm)
    llm.generate("Once", raw=True, stream=True, options=ENDLESS)  # not even kept
    gc.collect()
    wait_until_free(llm)


def test_cancel_in_another_thread(llm: pyollama.LLM) -> None:
    """Catches a reader that hangs, or that takes a cancelled answer for a whole one."""
    stream = llm.generate("Once", raw=True, stream=True, options=ENDLESS)
    canceller = threading.Timer(0.2, stream.cancel)
    canceller.start()
    with pytest.raises(Cancelled):
        stream.read()
    canceller.join()
    stream.cancel()
    wait_until_free(llm)


def test_close_in_another_thread(llm: pyollama.LLM) -> None:
    """Catches a reader that waits for ever on a stream that was closed under it."""
    stream = llm.generate("word " * 1_500, raw=True, stream=True, options=ENDLESS)
    wait_until_busy(llm)
    closer = threading.Timer(0.05, stream.close)
    closer.start()
    with suppress(Cancelled):  # or it simply ends
        list(stream)
    closer.join()
    wait_until_free(llm)


def test_cancelled_while_waiting(llm: pyollama.LLM) -> None:
    """Catches a request that cannot be cancelled before it has a place, and one that holds up the others."""
    n = llm.engine.n_parallel
    with ExitStack() as streams:

        def start(prompt: str, **options: object) -> Stream[Completion]:
            options = {**ENDLESS, **options}
            return streams.enter_context(llm.generate(prompt, raw=True, stream=True, options=options))

        running = [start("Once") for _ in range(n)]
        wait_until_busy(llm, n)
        waiting = start("Twice")
        last = start("Thrice", num_predict=2)
        assert llm.engine.status()["n_waiting"] == 2
        waiting.cancel()
        with pytest.raises(Cancelled):
            waiting.read()
        running[0].close()
        assert len(last.read().tokens) == 2


def test_ctrl_c_loses_nothing(llm: pyollama.LLM) -> None:
    """Catches a Ctrl-C that throws away a piece, or the end: whoever reads on later would wait for ever."""
    whole = llm.generate("Tell me a story.", options={**GREEDY, "num_predict": 200, "ignore_eos": True})
    for delay in (0.005, 0.02, 0.05):
        stream = llm.generate(
            "Tell me a story.", stream=True, options={**GREEDY, "num_predict": 200, "ignore_eos": True}
        )
        text = ""
        interrupts = 0
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                text += next(stream).text
            except KeyboardInterrupt:
                interrupts += 1
            except StopIteration:
                break
        try:
            timer.join()
            time.sleep(0.001)
        except KeyboardInterrupt:  # it came after the end
            interrupts += 1
        assert interrupts == 1
        assert text == whole.text


def test_many_readers(llm: pyollama.LLM) -> None:
    """Catches pieces that reach the wrong reader."""
    schemas = [{"const": number} for number in range(12)]
    streams = [llm.generate("Hi", stream=True, format=schema, options=GREEDY) for schema in schemas]
    for number, stream in enumerate(streams):
        assert json.loads(stream.read().text) == number
