"""LLM.embed: shapes, scaling, cutting; that the vectors mean what the tokens say."""

from __future__ import annotations

import numpy as np
import pytest

import pyollama
from pyollama.errors import ContextLengthExceeded, InvalidRequest

WIDTH = 256
# Rounding differs with what else is in the batch.
CLOSE = {"rtol": 0, "atol": 2e-2}


@pytest.fixture(scope="module")
def small() -> pyollama.LLM:
    """With a short context, so that texts can be too long for it."""
    with pyollama.LLM("tiny", options={"num_ctx": 64, "num_parallel": 1}) as llm:
        yield llm


def test_shape_and_type(small: pyollama.LLM) -> None:
    """Catches another shape for one text than for a list, other types, and lengths that are not 1."""
    for texts, count in [("a cat", 1), (["a cat"], 1), (["a cat", "a dog", "the sea"], 3), ([], 0)]:
        vectors = small.embed(texts)
        assert vectors.shape == (count, WIDTH)
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_any_iterable(small: pyollama.LLM) -> None:
    """Catches inputs that are read twice."""
    expected = small.embed(["a cat", "a dog"])
    np.testing.assert_array_equal(small.embed(text for text in ("a cat", "a dog")), expected)
    np.testing.assert_array_equal(small.embed(("a cat", "a dog")), expected)


def test_tokens_are_texts(small: pyollama.LLM) -> None:
    """Catches token ids that are embedded as something else than the text they come from."""
    tokens = small.tokenize("a small cat")
    vectors = small.embed(["a small cat", tokens, tuple(tokens)])
    np.testing.assert_allclose(vectors[1], vectors[0], **CLOSE)
    np.testing.assert_allclose(vectors[2], vectors[0], **CLOSE)


def test_order(small: pyollama.LLM) -> None:
    """Catches vectors in the order of the batches, which are sorted by length, not of the inputs."""
    texts = [("word " * (1 + 7 * index % 40)).strip() for index in range(150)]
    together = small.embed(texts)
    for index in (0, 1, 2, 77, 149):
        np.testing.assert_allclose(together[index], small.embed(texts[index])[0], **CLOSE)
    assert not np.allclose(together[0], together[1], **CLOSE)


def test_normalize(small: pyollama.LLM) -> None:
    """Catches scaling that nobody asked for, and scaling that changes the direction."""
    plain = small.embed("a cat", normalize=False)
    length = float(np.linalg.norm(plain))
    assert abs(length - 1) > 0.01
    np.testing.assert_allclose(plain / length, small.embed("a cat"), atol=1e-5)


@pytest.mark.parametrize("dimensions", [1, 7, WIDTH])
def test_dimensions(small: pyollama.LLM, dimensions: int) -> None:
    """Catches vectors that are scaled before they are cut: they would be shorter than 1."""
    whole = small.embed(["a cat", "a dog"], normalize=False)
    plain = small.embed(["a cat", "a dog"], normalize=False, dimensions=dimensions)
    np.testing.assert_allclose(plain, whole[:, :dimensions], atol=1e-4)
    scaled = small.embed(["a cat", "a dog"], dimensions=dimensions)
    assert scaled.shape == (2, dimensions)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, atol=1e-5)


def test_too_long(small: pyollama.LLM) -> None:
    """Catches an input that is cut without a word, and one that is cut where that was asked for and still fails."""
    text = "one two three four five six seven eight nine ten " * 12
    tokens = small.tokenize(text)
    with pytest.raises(ContextLengthExceeded, match="text 1 has") as error:
        small.embed(["short", text])
    assert (error.value.n_tokens, error.value.n_ctx) == (len(tokens), 64)
    cut = small.embed(["short", text, tokens], truncate=True)
    np.testing.assert_allclose(cut[1], small.embed([tokens[:64]])[0], **CLOSE)
    np.testing.assert_allclose(cut[2], cut[1], **CLOSE)
    assert small.embed([tokens[:64]]).shape == (1, WIDTH), "exactly the context fits"


@pytest.mark.parametrize("texts", ["", [""], ["a", ""], [[]], ["a", []]])
def test_empty(small: pyollama.LLM, texts: object) -> None:
    """Catches a vector of nothing."""
    index = 0 if len(texts) < 2 else 1
    with pytest.raises(InvalidRequest, match=f"text {index} is empty"):
        small.embed(texts)


def test_beside_generation(small: pyollama.LLM) -> None:
    """Catches embeddings that disturb a generation which runs at the same time, or are disturbed by it."""
    options = {"temperature": 0.0, "num_predict": 40, "ignore_eos": True}
    text = small.generate("Tell me a story.", options=options).text
    vectors = small.embed(["a cat", "a dog"])
    with small.generate("Tell me a story.", stream=True, options=options) as stream:
        next(stream)
        np.testing.assert_array_equal(small.embed(["a cat", "a dog"]), vectors)
        assert stream.read().text == text
