"""Fitting a prompt into the context: what is left out, and how much it was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from pyollama.errors import ContextLengthExceeded, TemplateError
from pyollama.prompt import Message

__all__ = ["NOTHING", "Truncated", "check_length", "cut_tokens", "fit_messages"]

log = logging.getLogger("pyollama")


class Truncated(msgspec.Struct, frozen=True):
    """What of a prompt was left out.

    Args:
        messages: Messages that were dropped.
        tokens: Tokens by which the prompt became shorter.
    """

    messages: int = 0
    tokens: int = 0


NOTHING = Truncated()


def fit_messages(
    messages: Sequence[Message], length: Callable[[Sequence[Message]], int], n_ctx: int
) -> Sequence[Message]:
    """Drop the oldest of messages that do not fit, until the rendered rest has at most ``n_ctx`` tokens.

    System messages stay, and so does the last message, even where it is too long by itself.

    Args:
        messages: The conversation.
        length: Tokens of a conversation when it is rendered.
        n_ctx: Tokens that the context holds.

    Returns:
        Those that are left.

    Raises:
        TemplateError: The template refuses what would be left.
    """

    def without(count: int) -> Sequence[Message]:
        return [message for message in messages[:count] if message.role == "system"] + list(messages[count:])

    def fits(count: int) -> bool:
        try:
            return length(without(count)) <= n_ctx
        except TemplateError:  # some refuse a conversation that begins in the middle
            return False

    low, high = 0, len(messages) - 1  # without(low) does not fit
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle
    return without(high) if high > 0 else messages


def cut_tokens(tokens: tuple[int, ...], n_ctx: int, n_keep: int) -> tuple[int, ...]:
    """The first ``n_keep`` tokens and the end, ``n_ctx`` in all; at least the last token stays.

    Example::

        cut_tokens((1, 2, 3, 4, 5, 6), n_ctx=4, n_keep=1)   # (1, 4, 5, 6)
    """
    if len(tokens) <= n_ctx:
        return tokens
    kept = min(n_keep, n_ctx - 1)
    log.warning("the prompt has %d tokens, the context holds %d: its middle is cut out", len(tokens), n_ctx)
    return tokens[:kept] + tokens[len(tokens) - (n_ctx - kept) :]


def check_length(tokens: Sequence[int], n_ctx: int) -> None:
    """Raise ContextLengthExceeded where the tokens are more than the context holds."""
    if len(tokens) > n_ctx:
        raise ContextLengthExceeded(
            f"the prompt has {len(tokens)} tokens, the context holds {n_ctx}: shorten it, or load the model with "
            "a larger num_ctx",
            n_tokens=len(tokens),
            n_ctx=n_ctx,
        )
