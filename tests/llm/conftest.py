"""The embedded model, loaded once for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pyollama

from .helpers import wait_until_free


@pytest.fixture(scope="module")
def loaded() -> Iterator[pyollama.LLM]:
    # Without flash attention a text does not depend on which part of its prompt was computed before.
    with pyollama.LLM("tiny", options={"flash_attention": False}) as llm:
        yield llm


@pytest.fixture
def llm(loaded: pyollama.LLM) -> Iterator[pyollama.LLM]:
    """The embedded model; whatever a test did, the engine is free afterwards."""
    yield loaded
    wait_until_free(loaded)
