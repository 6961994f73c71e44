"""Texts to vectors: cutting, scaling, shapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyollama.engine import Embedder
from pyollama.errors import ContextLengthExceeded, InvalidRequest

__all__ = ["EmbeddingInput", "embed_texts"]

EmbeddingInput: TypeAlias = str | Iterable[str | Sequence[int]]


def embed_texts(
    embedder: Embedder, texts: EmbeddingInput, *, truncate: bool, normalize: bool, dimensions: int | None
) -> NDArray[np.float32]:
    """As `LLM.embed`."""
    most = embedder.n_embd
    if dimensions is not None and (
        isinstance(dimensions, bool) or not isinstance(dimensions, int) or not 1 <= dimensions <= most
    ):
        raise InvalidRequest(f"dimensions must be an integer between 1 and {most}, got {dimensions!r:.60}")
    if isinstance(texts, (bytes, dict)) or not isinstance(texts, Iterable):
        raise InvalidRequest(f"texts must be a str or a list of them, got {type(texts).__name__}")
    items = [texts] if isinstance(texts, str) else list(texts)
    inputs = [_tokens(embedder, index, item, truncate) for index, item in enumerate(items)]
    vectors = embedder.embed(inputs)[:, :dimensions]
    if not np.isfinite(vectors).all():
        raise InvalidRequest("the model gave vectors with NaN or infinity for this input")
    if normalize:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _tokens(embedder: Embedder, index: int, item: str | Sequence[int], truncate: bool) -> Sequence[int]:
    if not isinstance(item, Sequence) or isinstance(item, bytes):
        raise InvalidRequest(f"text {index} must be a str or a list of token ids, got {type(item).__name__}")
    tokens = embedder.model.tokenize(item) if isinstance(item, str) else item
    if not tokens:
        raise InvalidRequest(f"text {index} is empty: it has no tokens to embed")
    excess = len(tokens) - embedder.n_ctx
    if excess <= 0:
        return tokens
    if not truncate:
        raise ContextLengthExceeded(
            f"text {index} has {len(tokens)} tokens, the context holds {embedder.n_ctx}; shorten it or set truncate",
            n_tokens=len(tokens),
            n_ctx=embedder.n_ctx,
        )
    # The last token stays where the vocabulary puts one at the end: encoders were trained with it.
    ends_specially = isinstance(item, str) and embedder.model.native.add_eos
    return [*tokens[: embedder.n_ctx - 1], tokens[-1]] if ends_specially else tokens[: embedder.n_ctx]
