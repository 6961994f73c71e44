"""A stored model: which layer counts, and blobs that are missing, damaged or too large."""

from __future__ import annotations

import json
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyollama.errors import StoreError, Unsupported
from pyollama.store import Message, ModelConfig, Store, StoredModel
from pyollama.store.stored_model import MAX_JSON, MAX_TEXT

from .directory import ModelDirectory, digest, wire


def model_of(directory: ModelDirectory, *layers: dict[str, Any], config: Any = None) -> StoredModel:
    directory.model("m/latest", *layers, config=config)
    return Store([directory.root]).find("m")


def test_all_layers(directory: ModelDirectory) -> None:
    """Catches a layer that is read as another one, an order that changes, and the first one winning."""
    layer = directory.layer
    model = model_of(
        directory,
        layer("model", b"first"),
        layer("model", b"GGUF", **{"from": "base:latest"}),
        layer("adapter", b"a1"),
        layer("projector", b"p1"),
        layer("adapter", b"a2"),
        layer("draft", b"d1"),
        layer("prompt", "old template"),
        layer("template", "{{ .Prompt }}\n"),
        layer("system", "You are\r\n\u00e9 "),
        layer("params", '{"stop":["a"],"seed":1,"x":null}'),
        layer("params", '{"seed":2,"temperature":0.5}\n'),
        layer("messages", '[{"role":"user","content":"hi","images":["x"]},{"role":"a","content":""}]'),
        layer("license", "L1"),
        layer("license", b"L\xff2"),
        layer("unknown", b"?"),
    )
    assert model.model_path == directory.blob_of(b"GGUF")
    assert model.model_path.read_bytes() == b"GGUF"
    assert model.adapter_paths == (directory.blob_of(b"a1"), directory.blob_of(b"a2"))
    assert model.projector_paths == (directory.blob_of(b"p1"),)
    assert model.draft_path == directory.blob_of(b"d1")
    assert model.template == "{{ .Prompt }}\n"
    assert model.system == "You are\r\n\u00e9 "
    assert model.parameters == {"stop": ["a"], "seed": 2, "temperature": 0.5, "x": None}
    assert model.messages == (Message("user", "hi"), Message("a", ""))
    assert model.licenses == ("L1", "L\ufffd2")
    assert model.config.file_type == "F32"
    assert pickle.loads(pickle.dumps(model)) == model


def test_prompt_is_the_old_name_of_template(directory: ModelDirectory) -> None:
    """Catches an old model whose template is not found, and the older type winning by its name."""
    template, prompt = directory.layer("template", "new"), directory.layer("prompt", "old")
    assert model_of(directory, prompt).template == "old"
    assert model_of(directory, template, prompt).template == "old"


def test_nothing_but_a_model_file(directory: ModelDirectory) -> None:
    """Catches an error, or an invented text, where a model simply has none."""
    directory.manifest("m/latest", wire([directory.layer("model", b"GGUF")], config={"digest": ""}))
    model = Store([directory.root]).find("m")
    assert model.config == ModelConfig()
    assert (model.template, model.system, model.draft_path) == (None, None, None)
    assert (model.licenses, model.messages, model.parameters) == ((), (), {})
    empty = model_of(directory, directory.layer("system", ""), directory.layer("messages", "null"))
    assert (empty.system, empty.messages) == ("", ())
    assert model_of(directory, directory.layer("params", "null")).parameters == {}


def test_parameters_are_a_copy(directory: ModelDirectory) -> None:
    """Catches one caller who changes what the next one gets."""
    model = model_of(directory, directory.layer("params", '{"stop":["a"]}'))
    model.parameters["stop"].append("b")
    assert model.parameters == {"stop": ["a"]}


@pytest.mark.parametrize(
    ("layers", "config", "error", "text"),
    [
        (["tensor", "json"], {"model_format": "safetensors"}, Unsupported, "safetensors"),
        (["system"], {"model_format": "safetensors"}, Unsupported, "safetensors"),
        (["system"], {"remote_host": "https://h\n"}, Unsupported, r"runs on 'https://h\\n'"),
        (["system"], {}, StoreError, "no model file in its manifest"),
    ],
)
def test_no_model_file(
    layers: list[str], config: Any, error: type[Exception], text: str, directory: ModelDirectory
) -> None:
    """Catches a model that cannot run here and fails without saying why."""
    model = model_of(directory, *(directory.layer(kind, kind) for kind in layers), config=config)
    with pytest.raises(error, match=text):
        _ = model.model_path


def test_embeddings_are_reported(directory: ModelDirectory, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a part of an old model that is dropped without a word."""
    model_of(directory, directory.layer("model", b"GGUF"), directory.layer("embed", b"x"))
    assert caplog.messages == ['model "m:latest" has embeddings in its manifest; they are ignored']


READERS = {
    "model": lambda model: model.model_path,
    "adapter": lambda model: model.adapter_paths,
    "projector": lambda model: model.projector_paths,
    "draft": lambda model: model.draft_path,
    "template": lambda model: model.template,
    "system": lambda model: model.system,
    "params": lambda model: model.parameters,
    "messages": lambda model: model.messages,
    "license": lambda model: model.licenses,
}
TEXTS = list(READERS)[4:]


def remove(path: Path) -> None:
    path.unlink()


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGE = {
    remove: "it is missing",
    lengthen: "it has 3 bytes, not 2",
    empty: "it has 0 bytes, not 2",
    replace_by_directory: "it is not a regular file",
    replace_by_pipe: "it is not a regular file",
    replace_by_loop: "it cannot be read: Too many levels of symbolic links",
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damaged_blob(kind: str, damage: Any, directory: ModelDirectory) -> None:
    """Catches a damaged blob that reaches native code, blocks, or ends in a Python error."""
    content = b"[]" if kind == "messages" else b"{}"
    model = model_of(directory, directory.layer("model", b"GGUF"), directory.layer(kind, content))
    READERS[kind](model)
    path = directory.blob_of(content)
    damage(path)
    with pytest.raises(StoreError, match=DAMAGE[damage]) as caught:
        READERS[kind](model)
    assert str(caught.value).startswith('model "m:latest" is damaged: ')
    assert str(path) in str(caught.value)
    assert "pull or create the model again" in str(caught.value)


@pytest.mark.parametrize("kind", TEXTS)
def test_flipped_byte_in_a_text(kind: str, directory: ModelDirectory) -> None:
    """Catches a text that is not the one that was pulled: damage, or a link to another file."""
    content = b"[]" if kind == "messages" else b"{}"
    model = model_of(directory, directory.layer(kind, content))
    directory.blob_of(content).write_bytes(b"[ " if kind == "messages" else b"{ ")
    with pytest.raises(StoreError, match="its content has another digest"):
        READERS[kind](model)


@pytest.mark.parametrize("kind", TEXTS)
def test_large_text_is_not_read(kind: str, directory: ModelDirectory) -> None:
    """Catches a layer of a gigabyte that is read before it is measured."""
    layer = {**directory.layer(kind, b""), "digest": digest(b"huge"), "size": 10**9}
    path = directory.blob_of(b"huge")
    path.write_bytes(b"")
    os.truncate(path, 10**9)
    model = model_of(directory, layer)
    tracemalloc.start()
    try:
        limit = MAX_JSON if kind == "params" else MAX_TEXT
        with pytest.raises(StoreError, match=f"has 1000000000 bytes, at most {limit} are allowed"):
            READERS[kind](model)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("kind", "size"), [("license", 1 << 20), ("params", 1 << 18)])
def test_one_text_many_times(kind: str, size: int, directory: ModelDirectory) -> None:
    """Catches a small manifest that names one large blob 10,000 times and fills the memory."""
    layer = directory.layer(kind, json.dumps({"a": " " * size}))
    model = model_of(directory, *[layer] * 10_000)
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match="bytes, at most"):
            READERS[kind](model)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        *(("params", content) for content in ("", "[]", "3", "{", '{"a":', '{"a":NaN}', "\0", '"x"')),
        *(("messages", content) for content in ("", "{}", "3", "[", "[null]", "[[]]", "[{}]", '["x"]')),
        ("messages", '[{"role":"user"}]'),
        ("messages", '[{"role":1,"content":"x"}]'),
        ("messages", '[{"role":"user","content":null}]'),
        ("params", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
        ("messages", "[" * 100_000 + "]" * 100_000),
    ],
    ids=lambda value: value[:20],
)
def test_garbage_json(kind: str, content: str, directory: ModelDirectory) -> None:
    """Catches a JSON layer that ends in an error of another kind, or in a value of the wrong type."""
    model = model_of(directory, directory.layer(kind, content))
    with pytest.raises(StoreError, match="pull or create the model again"):
        READERS[kind](model)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.sampled_from(["params", "messages", "template", "license"]), st.binary(max_size=60))
def test_any_content(directory: ModelDirectory, kind: str, content: bytes) -> None:
    """Catches content that ends in an error of another kind."""
    model = model_of(directory, directory.layer(kind, content))
    try:
        found = READERS[kind](model)
    except StoreError:
        assert kind in ("params", "messages")
        return
    assert isinstance(found, dict if kind == "params" else str if kind == "template" else tuple)


def test_config_is_read_when_asked_for(directory: ModelDirectory) -> None:
    """Catches a model with a damaged config that cannot even be found, and so not be deleted."""
    model = model_of(directory, config={"file_type": 7})
    with pytest.raises(StoreError, match=r'model "m:latest" is damaged: config .*file_type'):
        _ = model.config
    assert model.model_path == directory.blob_of(b"GGUF")
