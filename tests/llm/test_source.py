"""Models from the model directory: what a model brings along reaches its conversations."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyollama
from pyollama import LLM
from pyollama.errors import InvalidModelName, InvalidRequest, ModelNotFound, StoreError

EMBEDDED = Path(pyollama.__file__).parent / "models"
LIBRARY = Path("manifests/registry.ollama.ai/library")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's model directory with ``bob``: tiny, a system message, a history and parameters of its own."""
    shutil.copytree(EMBEDDED, tmp_path, dirs_exist_ok=True)
    manifest = json.loads((tmp_path / LIBRARY / "tiny" / "latest").read_text(encoding="utf-8"))
    kept = [layer for layer in manifest["layers"] if not layer["mediaType"].endswith(".params")]
    history = [
        {"role": "user", "content": "My name is Bob."},
        {"role": "assistant", "content": "Nice to meet you, Bob! How can I help you?"},
    ]
    for kind, content in (
        ("system", b"Be brief."),
        ("messages", json.dumps(history).encode()),
        ("params", b'{"temperature": 0, "num_ctx": 512, "num_predict": 30}'),
    ):
        digest = hashlib.sha256(content).hexdigest()
        (tmp_path / "blobs" / f"sha256-{digest}").write_bytes(content)
        kept.append(
            {
                "mediaType": f"application/vnd.ollama.image.{kind}",
                "digest": f"sha256:{digest}",
                "size": len(content),
            }
        )
    (tmp_path / LIBRARY / "bob").mkdir()
    (tmp_path / LIBRARY / "bob" / "latest").write_text(json.dumps({**manifest, "layers": kept}))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    return tmp_path


@pytest.fixture
def bob(directory: Path) -> Iterator[LLM]:
    with LLM("bob") as llm:
        yield llm


def prompt_of(llm: LLM, context: tuple[int, ...], answer: tuple[int, ...]) -> str:
    return llm.detokenize(context[: len(context) - len(answer)])


def test_a_model_brings_history_system_and_parameters(bob: LLM) -> None:
    """Would catch MESSAGE, SYSTEM or PARAMETER of a model that never reach it."""
    assert bob.name == "bob:latest"
    assert bob.engine.n_ctx == 512
    answer = bob.chat([{"role": "user", "content": "What is my name?"}])
    assert "Bob" in answer.text
    prompt = prompt_of(bob, answer.context, answer.tokens)
    assert prompt.index("Be brief.") < prompt.index("My name is Bob.") < prompt.index("What is my name?")
    assert bob.generate("Tell me a story.", options={"ignore_eos": True}).stats.generated_tokens == 30


def test_a_conversation_with_a_system_message_keeps_it(bob: LLM) -> None:
    """Would catch two system messages, or the model's in place of the user's."""
    answer = bob.chat(
        [{"role": "system", "content": "Speak as a pirate."}, {"role": "user", "content": "Hello"}]
    )
    prompt = prompt_of(bob, answer.context, answer.tokens)
    assert "Speak as a pirate." in prompt
    assert "Be brief." not in prompt


def test_an_argument_wins_over_the_model(directory: Path) -> None:
    """Would catch LLM(system=..., options=...) losing against what the model brings."""
    with LLM("bob", system="Answer in one word.", options={"num_predict": 3}) as llm:
        answer = llm.generate("Hello", options={"ignore_eos": True})
        prompt = prompt_of(llm, answer.context, answer.tokens)
    assert answer.stats.generated_tokens == 3
    assert "Answer in one word." in prompt
    assert "Be brief." not in prompt


@pytest.mark.parametrize("model", ["no such name!", "../tiny", "a/b/c/d/e", "", "tiny:"])
def test_texts_that_are_no_names(model: str) -> None:
    """Would catch a name that is used as a path, or an error that does not show what was asked for."""
    with pytest.raises((InvalidModelName, ModelNotFound)) as caught:
        LLM(model)
    assert repr(model)[1:-1] in str(caught.value) or model == ""


@pytest.mark.parametrize("model", [None, 3, b"tiny", ["tiny"]])
def test_wrong_types(model: object) -> None:
    """Would catch an AttributeError out of the depths."""
    with pytest.raises(InvalidRequest, match=type(model).__name__):
        LLM(model)  # type: ignore[arg-type]


def test_a_damaged_model(directory: Path) -> None:
    """Would catch a truncated download in the hands of llama.cpp."""
    weights = max((directory / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    with weights.open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(StoreError, match="bytes"):
        LLM("bob")
