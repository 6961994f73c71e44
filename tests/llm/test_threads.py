"""One model for many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyollama
from pyollama.errors import Cancelled, Closed
from pyollama.llm import Completion

from .helpers import ENDLESS, GREEDY, wait_until_free

PROMPTS = [
    "Why is the sky blue?",
    "What is 7 plus 5?",
    "What is the capital of France?",
    "How does a rainbow form?",
    "Tell me a story about a fox.",
    "What is ice?",
    "Who are you?",
    "How are you today?",
    "What is the opposite of hot?",
    "Why do leaves fall in autumn?",
    "What does a cow eat?",
    "Tell me a joke.",
    "What is the weather like?",
    "Name three colors.",
    "Why is the sea salty?",
    "How do birds fly?",
    "What is the largest animal?",
    "My name is Anna.",
    "Which day comes after Monday?",
    "Good night!",
]
LIMIT = 120


def in_threads(work: Callable[[int], Any], count: int) -> list[Any]:
    """What each of so many threads, begun at the same moment, returned or raised."""
    results: list[Any] = [None] * count
    gate = threading.Barrier(count)

    def run(index: int) -> None:
        gate.wait(LIMIT)
        try:
            results[index] = work(index)
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads), "some threads hang"
    return results


# Numbers of 8 and 16 bits round differently in batches of different sizes: log-probabilities of "tiny" differ by up
# to 0.007, those of the same weights in 32 bits by 0.000004.
ROUNDING = 0.02


def sure_tokens(answer: Completion) -> int:
    """How many tokens come before one that was hardly likelier than another: there rounding may decide."""
    for index, entry in enumerate(answer.logprobs):
        best, second = (other.logprob for other in entry.top)
        if best - second < ROUNDING:
            return index
    return len(answer.tokens)


def test_twenty_threads() -> None:
    """Catches answers that get mixed up, or change because others are computed beside them."""
    with pyollama.LLM("tiny") as llm:

        def ask(index: int) -> Completion:
            return llm.generate(PROMPTS[index], logprobs=2, options={**GREEDY, "num_predict": 120})

        alone = [ask(index) for index in range(len(PROMPTS))]
        together = in_threads(ask, len(PROMPTS))
    unsure = 0
    for one, other in zip(alone, together, strict=True):
        assert isinstance(other, Completion), other
        sure = sure_tokens(one)
        unsure += sure < len(one.tokens)
        assert other.tokens[:sure] == one.tokens[:sure]
        if sure == len(one.tokens):
            assert (other.text, other.done_reason) == (one.text, one.done_reason)
    assert unsure <= 2


def test_twenty_threads_in_32_bits(tiny_in_32_bits: Path) -> None:
    """Catches what rounding could hide: in 32 bits every text is the same, sampled ones too."""
    precise = {"kv_cache_type": "f32", "flash_attention": False, "stop": ["<|im_end|>"]}
    with pyollama.LLM(tiny_in_32_bits, options=precise) as llm:

        def ask(index: int) -> Completion:
            options = {"seed": index, "temperature": 0.7 if index % 2 else 0.0, "num_predict": 120}
            return llm.generate(PROMPTS[index], options=options)

        alone = [ask(index) for index in range(len(PROMPTS))]
        together = in_threads(ask, len(PROMPTS))
    assert [answer.text for answer in together] == [answer.text for answer in alone]


def test_everything_at_once() -> None:
    """Catches calls of different kinds that disturb each other."""
    with pyollama.LLM("tiny", options={"num_ctx": 128, "flash_attention": False}) as llm:
        everything_at_once(llm)


def everything_at_once(llm: pyollama.LLM) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    calls: list[Callable[[], Any]] = [
        lambda: llm.generate("Hi", options=GREEDY).text,
        lambda: llm.chat(messages, options=GREEDY).text,
        lambda: llm.generate("Hi", format={"const": 5}).text,
        lambda: llm.embed(["a cat", "a dog"]).tobytes(),
        lambda: llm.detokenize(llm.tokenize("a cat")),
        lambda: "".join(chunk.text for chunk in llm.generate("Hi", stream=True, options=GREEDY)),
        lambda: sorted(llm.engine.status()),
        lambda: llm.engine.memory_use()["model"],
    ]
    expected = [call() for call in calls]
    for index, result in enumerate(in_threads(lambda index: calls[index % len(calls)](), 3 * len(calls))):
        assert result == expected[index % len(calls)]


def test_close_while_threads_generate() -> None:
    """Catches a close that hangs, and threads that wait for ever or crash because of it."""
    for delay in (0.0, 0.01, 0.3):
        llm = pyollama.LLM("tiny", options={"num_parallel": 4, "num_ctx": 256})

        def work(index: int, llm: pyollama.LLM = llm, delay: float = delay) -> Any:
            if index == 0:
                threading.Event().wait(delay)
                return llm.close()
            if index % 4 == 3:
                return llm.embed(["a few words"] * 2_000)
            return llm.generate("Once", raw=True, options=ENDLESS)

        closer, *others = in_threads(work, 9)
        assert closer is None
        for result in others:
            assert isinstance(result, Closed) or getattr(result, "shape", None) == (2_000, 256), repr(result)
        with pytest.raises(Closed):
            llm.generate("Hi")


def test_close_in_many_threads() -> None:
    """Catches two closes that free the same thing twice, or one that returns before all is closed."""
    llm = pyollama.LLM("tiny", options={"num_parallel": 1, "num_ctx": 64})
    stream = llm.generate("Once", raw=True, stream=True, options=ENDLESS)
    next(stream)
    assert in_threads(lambda _: llm.close(), 8) == [None] * 8
    with pytest.raises(Closed):
        stream.read()


def test_cancel_from_another_thread(llm: pyollama.LLM) -> None:
    """Catches a cancel that ends the wrong request or that its reader does not notice."""
    streams = [llm.generate("Once", raw=True, stream=True, options=ENDLESS) for _ in range(6)]

    def work(index: int) -> Any:
        if index < 6:
            return streams[index].read()
        next_victim = index - 6
        return streams[next_victim].cancel()

    results = in_threads(work, 12)
    assert [type(result) for result in results[:6]] == [Cancelled] * 6
    wait_until_free(llm)
