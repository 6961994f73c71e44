"""What the tests of the library share."""

from __future__ import annotations

import time

import pyollama

GREEDY = {"temperature": 0.0}
# Ends only when something ends it.
ENDLESS = {"temperature": 0.0, "ignore_eos": True, "num_predict": 2**31 - 1}


def prompt_text(llm: pyollama.LLM, answer: pyollama.llm.Completion) -> str:
    """The prompt that the model saw, written out."""
    return llm.detokenize(answer.context[: answer.stats.prompt_tokens])


def is_free(llm: pyollama.LLM) -> bool:
    """Whether the engine has nothing to do."""
    status = llm.engine.status()
    return not status["n_running"] and not status["n_waiting"]


def wait_until_free(llm: pyollama.LLM, within: float = 30.0) -> float:
    """Seconds until the engine has nothing to do; looks as often as it can."""
    begin = time.monotonic()
    while not is_free(llm):
        assert time.monotonic() < begin + within, f"still busy: {llm.engine.status()}"
        time.sleep(0.0005)
    return time.monotonic() - begin


def wait_until_busy(llm: pyollama.LLM, requests: int = 1, within: float = 60.0) -> None:
    """Wait until so many requests run."""
    deadline = time.monotonic() + within
    while llm.engine.status()["n_running"] < requests:
        assert time.monotonic() < deadline, f"nothing began: {llm.engine.status()}"
        time.sleep(0.0005)
