"""LLM.chat: conversations."""

from __future__ import annotations

import copy
import json

import pyollama
from pyollama.llm import ChatCompletion
from pyollama.prompt import Message

from .helpers import GREEDY, prompt_text


def turn(role: str, content: str) -> str:
    """A message as ChatML writes it."""
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


ANSWER = "<|im_start|>assistant\n"


def test_remembers(llm: pyollama.LLM) -> None:
    """Catches a history that does not reach the model."""
    messages = [{"role": "user", "content": "My name is Anna."}]
    answer = llm.chat(messages, options=GREEDY)
    assert isinstance(answer, ChatCompletion)
    assert answer.message == Message("assistant", answer.text)
    conversation = [*messages, answer.message, {"role": "user", "content": "What is my name?"}]
    assert "Anna" in llm.chat(conversation, options=GREEDY).text
    assert "Anna" not in llm.chat(conversation[2:], options=GREEDY).text


def test_next_turn_reuses_cells(llm: pyollama.LLM) -> None:
    """Catches a conversation that is computed from its beginning at every turn."""
    messages = [{"role": "user", "content": "Tell me about the rain and about the wind and the snow."}]
    first = llm.chat(messages, options={**GREEDY, "num_predict": 30})
    messages += [
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "Tell me more about it."},
    ]
    second = llm.chat(messages, options={**GREEDY, "num_predict": 30})
    # Up to the end of the answer, if its text gives the same tokens again; at least the first prompt.
    assert second.stats.cached_tokens >= first.stats.prompt_tokens
    assert second.stats.cached_tokens < second.stats.prompt_tokens


def test_prompt(llm: pyollama.LLM) -> None:
    """Catches messages in another order, with another role, or that are lost."""
    messages = [
        {"role": "system", "content": "Be brief."},
        Message("user", "Hi"),
        {"role": "assistant", "content": "Hello!", "thinking": "", "images": None, "extra": 5},
        {"role": "user", "content": "How\nare <you>?"},
    ]
    answer = llm.chat(messages, options={"num_predict": 0})
    roles = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "How\nare <you>?")]
    assert prompt_text(llm, answer) == "".join(turn(*role) for role in roles) + ANSWER


def test_arguments_stay_as_they_are(llm: pyollama.LLM) -> None:
    """Catches a call that changes the caller's objects; any iterable will do."""
    messages = [{"role": "user", "content": "Hi"}]
    options = {"num_predict": 3, "temperature": 0.0, "stop": ["x"]}
    before = copy.deepcopy((messages, options))
    answer = llm.chat(messages, options=options)
    assert (messages, options) == before
    assert llm.chat(iter(messages), options=options).text == answer.text
    assert llm.chat(tuple(messages), options=options).text == answer.text


def test_same_as_generate(llm: pyollama.LLM) -> None:
    """Catches two ways to ask that answer differently."""
    message = {"role": "user", "content": "How does a rainbow form?"}
    chatted = llm.chat([message], options=GREEDY)
    generated = llm.generate("How does a rainbow form?", options=GREEDY)
    assert (chatted.text, chatted.tokens, chatted.context) == (
        generated.text,
        generated.tokens,
        generated.context,
    )


def test_system_of_the_model() -> None:
    """Catches a default system message that is doubled, or that wins over the one of the conversation."""
    user = {"role": "user", "content": "Hi"}
    system = {"role": "system", "content": "Be kind."}
    with pyollama.LLM("tiny", system="Be brief.", options={"num_parallel": 1, "num_predict": 0}) as llm:
        assert prompt_text(llm, llm.chat([user])) == turn("system", "Be brief.") + turn("user", "Hi") + ANSWER
        own = llm.chat([system, user])
        assert prompt_text(llm, own) == turn("system", "Be kind.") + turn("user", "Hi") + ANSWER
    with pyollama.LLM("tiny", system="", options={"num_parallel": 1, "num_predict": 0}) as llm:
        assert prompt_text(llm, llm.chat([user])) == turn("user", "Hi") + ANSWER


def test_format_and_logprobs(llm: pyollama.LLM) -> None:
    """Catches arguments that generate has and chat forgets."""
    schema = {"type": "object", "properties": {"color": {"enum": ["red", "blue"]}}, "required": ["color"]}
    messages = [{"role": "user", "content": "What color is the sky?"}]
    answer = llm.chat(messages, format=schema, logprobs=2, options=GREEDY)
    assert json.loads(answer.text)["color"] in ("red", "blue")
    assert len(answer.logprobs) == len(answer.tokens)
    assert all(len(entry.top) == 2 for entry in answer.logprobs)
