"""What a generation gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from pyollama.prompt import Message

if TYPE_CHECKING:
    from pyollama.engine.generation import Event

__all__ = ["ChatCompletion", "Chunk", "Completion", "Logprob", "Stats"]


class Logprob(msgspec.Struct, frozen=True):
    """How likely a token was, by the model's own distribution: before any sampler or grammar.

    Args:
        token: Token id.
        text: Its text; bytes that are no whole character become U+FFFD.
        bytes: Its bytes.
        logprob: Natural logarithm of its probability.
        top: The likeliest tokens at this place, best first; empty in the entries of ``top`` itself.
    """

    token: int
    text: str
    bytes: bytes
    logprob: float
    top: tuple[Logprob, ...] = ()


class Chunk(msgspec.Struct, frozen=True):
    """A piece of an answer: what was generated since the piece before.

    Args:
        text: Whole characters, stop strings cut; may be empty while a character or a stop string is unfinished.
        tokens: The token ids behind it.
        logprobs: One entry for each token, if they were asked for.
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[Logprob, ...] = ()


class Stats(msgspec.Struct, frozen=True):
    """Counts and times of one generation.

    Args:
        prompt_tokens: Tokens of the prompt, cached ones included.
        cached_tokens: Those that did not have to be computed, as an earlier request had left them.
        generated_tokens: Tokens generated, the one that ended the answer included.
        queue_seconds: From asking to the first step.
        prompt_seconds: From there to the first token.
        generate_seconds: From the first token to the last.
        context_shifts: How often the older half of a full context was dropped.
        seed: The random seed that was used.
    """

    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    queue_seconds: float
    prompt_seconds: float
    generate_seconds: float
    context_shifts: int
    seed: int


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer.

    Args:
        text: The text.
        tokens: Token ids of the answer.
        logprobs: One entry for each token, if they were asked for.
        done_reason: ``"stop"``: the model or a stop string ended it. ``"length"``: ``num_predict`` or the context
            did.
        stop: The stop string that ended it; empty if none did.
        context: The prompt's tokens and the answer's, for the ``context`` of a next request.
        warnings: What of a schema could not be enforced.
        stats: Counts and times.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[Logprob, ...]
    done_reason: Literal["stop", "length"]
    stop: str
    context: tuple[int, ...]
    warnings: tuple[str, ...]
    stats: Stats

    def __str__(self) -> str:
        return self.text


class ChatCompletion(Completion, frozen=True, kw_only=True):
    """A whole answer in a conversation; ``message`` is what to add to the messages."""

    @property
    def message(self) -> Message:
        """The answer as a message of the assistant."""
        return Message("assistant", self.text)


def chunk_of(event: Event) -> Chunk:
    """An event of the engine as a chunk."""
    logprobs = tuple(_logprob(chosen, top) for chosen, top in event.logprobs or ())
    return Chunk(event.text, tuple(event.tokens), logprobs)


def stats_of(event: Event) -> Stats:
    """The statistics of the engine's last event."""
    stats = event.stats
    return Stats(
        prompt_tokens=stats["n_prompt"],
        cached_tokens=stats["n_cached"],
        generated_tokens=stats["n_generated"],
        queue_seconds=stats["queue_ns"] / 1e9,
        prompt_seconds=stats["prompt_eval_ns"] / 1e9,
        generate_seconds=stats["eval_ns"] / 1e9,
        context_shifts=stats["n_shifts"],
        seed=stats["seed"],
    )


def context_of(prompt: Sequence[int], tokens: Sequence[int], event: Event) -> tuple[int, ...]:
    """What the next request may go on from: prompt and answer, with the token that ended it.

    Without that token the next turn would begin inside this one, as the template sees it.
    """
    end = event.stats["end_token"]
    return (*prompt, *tokens, end) if end >= 0 else (*prompt, *tokens)


def _logprob(entry: tuple[int, float, bytes], top: list[tuple[int, float, bytes]]) -> Logprob:
    token, logprob, data = entry
    return Logprob(
        token, data.decode("utf-8", "replace"), data, logprob, tuple(_logprob(other, []) for other in top)
    )
