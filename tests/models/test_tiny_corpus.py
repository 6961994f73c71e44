"""The corpus of the embedded model and the files that came out of it.

Would catch: a corpus that holds the questions of the score, a corpus that differs from run to run, a
model that has outgrown the wheel, and a store whose blobs do not match their names.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools" / "tiny"
STORE = ROOT / "pyollama" / "models"
CHATS = 120_000


@pytest.fixture(scope="module")
def corpus_module() -> ModuleType:
    """The generator, imported from the folder of tools without leaving it on the path."""
    sys.path.insert(0, str(TOOLS))
    try:
        import corpus
    finally:
        sys.path.remove(str(TOOLS))
    return corpus


@pytest.fixture(scope="module")
def items() -> list[dict]:
    """The held-out questions."""
    return [json.loads(line) for line in (TOOLS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()]


def test_heldout_covers_all_categories(items: list[dict]) -> None:
    """At least 150 items, several of each kind, each with a rule."""
    kinds = {
        "nature",
        "world",
        "everyday",
        "countries",
        "animals",
        "words",
        "sums",
        "small talk",
        "stories",
        "system",
        "json",
        "memory",
        "dialog",
        "unknown",
    }
    assert len(items) >= 150
    assert {item["category"] for item in items} == kinds
    assert all(item["must"] and item["turns"] for item in items)


def test_no_heldout_wording_in_the_stream(corpus_module: ModuleType) -> None:
    """Nobody in the corpus asks what the score asks, even if nothing filtered the chats."""
    corpus = corpus_module.Corpus()
    wordings = corpus.held_out
    corpus.held_out = frozenset()
    assert len(wordings) >= 150
    said = {
        corpus_module.normal(message["content"])
        for chat in itertools.islice(corpus.stream(1), CHATS)
        for message in chat
        if message["role"] == "user"
    }
    assert len(said) > CHATS / 3
    assert not said & wordings


def test_chats_with_heldout_wordings_are_dropped(corpus_module: ModuleType) -> None:
    """The stream leaves out a chat when its wording is held out, whatever the case and the marks."""
    corpus = corpus_module.Corpus()
    wanted = corpus_module.normal("Why is the SKY blue?!")
    corpus.held_out = {wanted}
    chats = itertools.islice(corpus.stream(2), 5_000)
    assert all(corpus_module.normal(message["content"]) != wanted for chat in chats for message in chat)


def test_corpus_depends_only_on_its_seed(corpus_module: ModuleType) -> None:
    """Two generators with one seed agree, another seed differs."""

    def first(seed: int) -> list:
        return list(itertools.islice(corpus_module.Corpus().stream(seed, long_share=0.05), 3_000))

    assert first(5) == first(5)
    assert first(5) != first(6)


def test_store_holds_one_small_model() -> None:
    """The manifest names every blob, every blob has the hash of its name, the model is small enough."""
    manifest = json.loads((STORE / "manifests/registry.ollama.ai/library/tiny/latest").read_bytes())
    layers = [manifest["config"], *manifest["layers"]]
    for layer in layers:
        data = (STORE / "blobs" / layer["digest"].replace(":", "-")).read_bytes()
        assert len(data) == layer["size"]
        assert "sha256:" + hashlib.sha256(data).hexdigest() == layer["digest"]
    named = {layer["digest"].replace(":", "-") for layer in layers}
    assert {path.name for path in (STORE / "blobs").iterdir()} == named
    models = [layer for layer in layers if layer["mediaType"] == "application/vnd.ollama.image.model"]
    assert len(models) == 1
    assert models[0]["size"] <= 10_000_000
    assert (STORE / "blobs" / models[0]["digest"].replace(":", "-")).read_bytes()[:4] == b"GGUF"
