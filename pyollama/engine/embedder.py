"""Embeddings of token sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pyollama.engine import backend, sizing
from pyollama.engine.model import Model
from pyollama.errors import Closed, Unsupported

__all__ = ["Embedder"]

GROUP = 4096  # tokens handed to native code at once


class Embedder:
    """Makes vectors of token sequences, in a context of its own. All methods may be called from any thread.

    The model's own pooling is used; a model without one gives its state after the last token.

    Args:
        model: The model; the embedder keeps it alive.

    Raises:
        Unsupported: The model cannot make embeddings.
        ModelLoadError: The context could not be created.

    Example::

        vectors = Embedder(model).embed([model.tokenize("one"), model.tokenize("two")])   # shape (2, n_embd)
    """

    def __init__(self, model: Model) -> None:
        if model.options.vocab_only:
            raise Unsupported(
                f"{model.header.path} was loaded with vocab_only: it can tokenize, nothing else"
            )
        from pyollama.native import engine as native_engine

        self.model = model
        self.n_ctx = sizing.context_length(model.header, model.options)
        self._native = native_engine.Embedder(
            model.native,
            model.options,
            n_ctx=self.n_ctx,
            n_threads=sizing.thread_count(model.options.num_thread),
        )
        self.n_embd = self._native.n_embd
        backend.close_at_exit(self)

    def embed(self, inputs: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """One vector for each input, not normalized.

        Args:
            inputs: Token ids, each input from 1 to ``n_ctx`` of them.

        Returns:
            float32 of shape (len(inputs), n_embd).

        Raises:
            InvalidRequest: An input is empty or has a token that is not in the vocabulary.
            ContextLengthExceeded: An input is longer than ``n_ctx``.
            Closed: The embedder was closed.
        """
        out = np.empty((len(inputs), self.n_embd), dtype=np.float32)
        # Inputs of like length share a micro-batch; between two groups Python may act on a signal.
        order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
        for group in _groups(order, inputs):
            rows = np.empty((len(group), self.n_embd), dtype=np.float32)
            try:
                self._native.embed([inputs[index] for index in group], rows)
            except Closed:
                backend.end_thread_at_exit()
                raise
            out[group] = rows
        return out

    def close(self) -> None:
        """End running calls after their current step and free the context. Idempotent."""
        self._native.close()


def _groups(order: list[int], inputs: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Cut ``order`` into groups of about `GROUP` tokens."""
    group: list[int] = []
    n_tokens = 0
    for index in order:
        group.append(index)
        n_tokens += len(inputs[index])
        if n_tokens >= GROUP:
            yield group
            group, n_tokens = [], 0
    if group:
        yield group
