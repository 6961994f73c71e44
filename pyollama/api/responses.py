"""The answers with text, as they go over the wire."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from pyollama.prompt import Message
from pyollama.runner import Done, Piece

__all__ = ["Metrics", "TextResponse", "Truncated", "last_fields", "logprobs_of"]


class Truncated(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a prompt was left out.

    Args:
        messages: Messages that were dropped.
        tokens: Tokens by which the prompt became shorter.
    """

    messages: int = 0
    tokens: int = 0


class TopLogprob(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the likeliest tokens at a place."""

    token: str
    logprob: float
    bytes: tuple[int, ...] = ()


class Logprob(msgspec.Struct, frozen=True, omit_defaults=True):
    """The token that was chosen, with the likeliest ones."""

    token: str
    logprob: float
    bytes: tuple[int, ...] = ()
    top_logprobs: tuple[TopLogprob, ...] = ()


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and times (ns) of the last object.

    Args:
        total_duration: From the request to its end.
        load_duration: Until the model was there.
        prompt_eval_count: Tokens of the prompt, those from the cache included.
        prompt_eval_duration: Until the first token of the answer.
        eval_count: Tokens of the answer, the one that ended it included.
        eval_duration: From the first of them to the last.
    """

    total_duration: int
    load_duration: int
    prompt_eval_count: int
    prompt_eval_duration: int
    eval_count: int
    eval_duration: int

    @classmethod
    def of(cls, done: Done, total_ns: int, load_ns: int) -> Metrics:
        """The metrics of a generation that has ended."""
        stats = done.stats
        return cls(
            total_duration=total_ns,
            load_duration=load_ns,
            prompt_eval_count=stats["n_prompt"],
            prompt_eval_duration=stats["prompt_eval_ns"],
            eval_count=stats["n_generated"],
            eval_duration=stats["eval_ns"],
        )


class TextResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An object of ``/api/generate`` or ``/api/chat``; in the order in which people read it.

    Args:
        model: As the client named it.
        created_at: Now, in UTC.
        response: Of generate: the text.
        message: Of chat: the text, said by the assistant.
        done: Whether it is the last object; what follows is in the last one only.
        done_reason: ``stop``, ``length``, ``load`` or ``unload``.
        context: Of generate: tokens for the next request, to go on from here.
        logprobs: One entry for each token; in every object.
        truncated: What of the prompt was left out.
        warnings: What of a schema could not be enforced.
    """

    model: str
    created_at: str
    response: str | UnsetType = UNSET
    message: Message | UnsetType = UNSET
    done: bool
    done_reason: str = ""
    context: tuple[int, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    truncated: Truncated | UnsetType = UNSET
    warnings: tuple[str, ...] = ()


def last_fields(done: Done, metrics: Metrics) -> dict[str, Any]:
    """What the last object has besides the text."""
    cut = done.truncated_messages or done.truncated_tokens
    return {
        **msgspec.structs.asdict(metrics),
        "done": True,
        "done_reason": done.reason,
        "truncated": Truncated(done.truncated_messages, done.truncated_tokens) if cut else UNSET,
        "warnings": done.warnings,
    }


def logprobs_of(piece: Piece) -> tuple[Logprob, ...]:
    """The log-probabilities of a piece as the API writes them."""
    return tuple(
        Logprob(
            _text(data),
            logprob,
            tuple(data),
            tuple(TopLogprob(_text(other), value, tuple(other)) for _, value, other in top),
        )
        for (_, logprob, data), top in piece.logprobs
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
