"""The stored models as clients see them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import msgspec
import numpy as np
import pytest

import pyollama
from pyollama.api.catalog import Catalog
from pyollama.create import CreateRequest, create_model
from pyollama.errors import InvalidModelFile, StoreError, Unsupported
from pyollama.gguf import GGUFHeader
from pyollama.store import Layer, Manifest, MediaType, ModelConfig, ModelName, Store

EMBEDDED = Path(pyollama.__file__).parent / "models"
SECOND = 10**9

LLAMA: dict[str, Any] = {
    "llama.context_length": 4096,
    "llama.embedding_length": 8,
    "llama.block_count": 1,
    "llama.feed_forward_length": 8,
    "llama.attention.head_count": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a"],
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store([tmp_path / "models"])


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., bytes]:
    """Makes GGUF files with these values; ``__`` in a name stands for a dot."""

    def make(architecture: str = "llama", **values: Any) -> bytes:
        path = tmp_path / "weights.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        more = {name.replace("__", "."): value for name, value in values.items()}
        for key, value in ({**LLAMA, **more} if architecture == "llama" else more).items():
            kinds: dict[type, Any] = {
                bool: writer.add_bool,
                int: writer.add_uint32,
                float: writer.add_float32,
                str: writer.add_string,
                list: writer.add_array,
            }
            kinds[type(value)](key, value)
        writer.add_tensor(
            "token_embd.weight" if architecture == "llama" else "v", np.zeros((4, 8), np.float32)
        )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()

    return make


def put(
    store: Store,
    name: str,
    *files: tuple[MediaType, bytes],
    config: ModelConfig | None = None,
    origin: str = "",
) -> None:
    """Put in a model of these files."""
    layers = []
    for kind, content in files:
        digest, size, _ = store.write_blob(content)
        layers.append(Layer(media_type=kind, digest=digest, size=size, origin=origin))
    digest, size, _ = store.write_blob((config or ModelConfig()).encode())
    described = Layer(media_type=MediaType.CONFIG, digest=digest, size=size) if config else None
    store.write_manifest(ModelName.parse(name), Manifest(config=described, layers=tuple(layers)))


def on_the_wire(value: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(value))


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the local time zone."""

    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


# --- list ------------------------------------------------------------------------------------------


def test_embedded_model() -> None:
    """Catches a key that is missing, is there without a value, or has another form than Ollama's."""
    (entry,) = Catalog(Store([EMBEDDED])).list()
    found = on_the_wire(entry)
    manifest = EMBEDDED / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "latest"
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", found.pop("modified_at")
    )
    assert found == {
        "name": "tiny:latest",
        "model": "tiny:latest",
        "size": Store([EMBEDDED]).find("tiny").size,
        "digest": Store([EMBEDDED]).find("tiny").digest.hex,
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "5.77M",
            "quantization_level": "Q8_0",
            "context_length": 2048,
            "embedding_length": 256,
        },
        "capabilities": ["completion"],
    }
    assert manifest.exists()


def test_created_model(store: Store) -> None:
    """Catches a new model that does not lead the list, or does not say what it was made from."""
    both = Store([store.root, EMBEDDED])
    list(create_model(both, CreateRequest(model="me/mario", from_="tiny", system="x")))
    entries = Catalog(both).list()
    assert [entry.name for entry in entries] == ["me/mario:latest", "tiny:latest"]
    assert [entry.details.parent_model for entry in entries] == ["tiny:latest", ""]
    assert entries[0].capabilities == ("completion",)


def test_nothing_there(store: Store) -> None:
    """Catches an empty directory that is an error."""
    assert Catalog(store).list() == []


def test_no_config(store: Store, weights: Callable[..., bytes]) -> None:
    """Catches a model without a config that spoils the list; what its file says is there."""
    put(store, "m", (MediaType.MODEL, weights(general__file_type=15)), origin="x.gguf")
    (entry,) = Catalog(store).list()
    assert on_the_wire(entry)["details"] == {
        "parent_model": "x.gguf",
        "format": "",
        "family": "",
        "families": None,
        "parameter_size": "",
        "quantization_level": "Q4_K_M",
        "context_length": 4096,
        "embedding_length": 8,
    }


@pytest.mark.parametrize(
    ("said", "file_type", "level"),
    [
        ("", 0, "F32"),
        ("unknown", 1, "F16"),
        ("Q4_0", 1, "Q4_0"),
        ("", None, ""),
        ("unknown", None, "unknown"),
    ],
)
def test_quantization_level(
    said: str, file_type: int | None, level: str, store: Store, weights: Callable[..., bytes]
) -> None:
    """Catches a level of the file that hides that of the config, or the other way round."""
    values = {} if file_type is None else {"general__file_type": file_type}
    put(store, "m", (MediaType.MODEL, weights(**values)), config=ModelConfig(file_type=said))
    assert Catalog(store).details(store.find("m")).quantization_level == level


def test_config_comes_first(store: Store, weights: Callable[..., bytes]) -> None:
    """Catches lengths of the file in place of those that the config says."""
    config = ModelConfig(context_length=7, embedding_length=9, model_families=("a", "b"))
    put(store, "m", (MediaType.MODEL, weights()), config=config)
    details = Catalog(store).details(store.find("m"))
    assert (details.context_length, details.embedding_length, details.families) == (7, 9, ("a", "b"))


@pytest.mark.parametrize(
    ("name", "ns", "text"),
    [
        ("UTC", 1_700_000_000 * SECOND, "2023-11-14T22:13:20Z"),
        ("UTC", 1_700_000_000 * SECOND + 120_000_000, "2023-11-14T22:13:20.12Z"),
        ("UTC", 1_700_000_000 * SECOND + 1, "2023-11-14T22:13:20.000000001Z"),
        ("Asia/Kolkata", 1_700_000_000 * SECOND, "2023-11-15T03:43:20+05:30"),
        ("America/New_York", 1_720_000_000 * SECOND, "2024-07-03T05:46:40-04:00"),
        ("America/New_York", 1_700_000_000 * SECOND, "2023-11-14T17:13:20-05:00"),
        ("UTC", 0, "1970-01-01T00:00:00Z"),
        ("UTC", -5 * SECOND, "1970-01-01T00:00:00Z"),
        ("UTC", 9 * 10**18, "2255-03-14T16:00:00Z"),
    ],
)
def test_times(name: str, ns: int, text: str, store: Store, zone: Callable[[str], None]) -> None:
    """Catches a time that clients cannot read, and one that makes the list fail."""
    zone(name)
    put(store, "m", (MediaType.SYSTEM, b"x"))
    path = store.root / "manifests" / "registry.ollama.ai" / "library" / "m" / "latest"
    os.utime(path, ns=(ns, ns))
    assert Catalog(store).list()[0].modified_at == text


# --- capabilities ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "capabilities"),
    [
        ({}, ["completion"]),
        ({"llama__pooling_type": 1}, ["embedding"]),
        ({"llama__pooling_type": 0}, ["embedding"]),
        ({"tokenizer__chat_template": "{% if tools %}{% endif %}"}, ["completion", "tools"]),
        ({"tokenizer__chat_template": "<tool_call>"}, ["completion", "tools"]),
        ({"tokenizer__chat_template": "<think></think>"}, ["completion", "thinking"]),
        ({"tokenizer__chat_template": "<think>"}, ["completion"]),
        ({"tokenizer__chat_template": "tools <think></think>"}, ["completion", "tools", "thinking"]),
        ({"llama__vision__block_count": 2}, ["completion", "vision"]),
    ],
)
def test_capabilities(
    values: dict[str, Any], capabilities: list[str], store: Store, weights: Callable[..., bytes]
) -> None:
    """Catches a request that is refused although the model can do it, and the other way round."""
    put(store, "m", (MediaType.MODEL, weights(**values)))
    catalog = Catalog(store)
    assert list(catalog.capabilities(store.find("m"))) == capabilities
    assert on_the_wire(catalog.list()[0])["capabilities"] == capabilities


@pytest.mark.parametrize(
    ("values", "capabilities"),
    [
        ({"clip__vision__block_count": 2}, ("completion", "vision")),
        ({"clip__has_vision_encoder": True}, ("completion", "vision")),
        ({"clip__has_audio_encoder": True}, ("completion", "audio")),
        (
            {"clip__has_vision_encoder": True, "clip__has_audio_encoder": True},
            ("completion", "vision", "audio"),
        ),
    ],
)
def test_projectors(
    values: dict[str, Any], capabilities: tuple[str, ...], store: Store, weights: Callable[..., bytes]
) -> None:
    """Catches a model that sees or hears and does not say so."""
    projector = weights("clip", general__type="mmproj", **values)
    put(store, "m", (MediaType.MODEL, weights()), (MediaType.PROJECTOR, projector))
    assert Catalog(store).capabilities(store.find("m")) == capabilities


def test_capabilities_of_the_config(store: Store, weights: Callable[..., bytes]) -> None:
    """Catches a capability that only the config knows, and one that nobody knows."""
    config = ModelConfig(capabilities=("thinking", "completion", "telepathy"))
    put(store, "m", (MediaType.MODEL, weights()), config=config)
    assert Catalog(store).capabilities(store.find("m")) == ("completion", "thinking")


# --- what cannot be read, what is read once --------------------------------------------------------


def test_weights_that_cannot_be_read(
    store: Store, weights: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Catches one damaged model that hides the others, or that nobody hears of, or hears of too often."""
    config = ModelConfig(model_format="gguf", model_family="llama")
    put(store, "good", (MediaType.MODEL, weights()), config=config)
    put(store, "bad", (MediaType.MODEL, b"GGUFGARBAGE"), config=config)
    put(store, "lost", (MediaType.MODEL, b"GGUFLOST"), config=config)
    put(store, "remote", config=ModelConfig(remote_host="https://h", capabilities=("tools",)))
    store.find("lost").model_path.unlink()
    catalog = Catalog(store)
    for _ in range(3):
        entries = {entry.name: on_the_wire(entry) for entry in catalog.list()}
        assert sorted(entries) == ["bad:latest", "good:latest", "lost:latest", "remote:latest"]
        assert entries["bad:latest"]["details"]["family"] == "llama"
        assert "context_length" not in entries["bad:latest"]["details"]
        assert "capabilities" not in entries["bad:latest"]
        assert entries["remote:latest"]["capabilities"] == ["tools"]
    assert len(caplog.messages) == 3
    for name, error in (("bad", InvalidModelFile), ("lost", StoreError), ("remote", Unsupported)):
        with pytest.raises(error):
            catalog.capabilities(store.find(name))


def test_a_file_is_read_once(
    store: Store, weights: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a list that reads every header again; a repaired file is seen."""
    read: list[str] = []
    real = GGUFHeader.read.__func__  # type: ignore[attr-defined]

    def counting(cls: type[GGUFHeader], path: Path, **more: Any) -> GGUFHeader:
        read.append(str(path))
        found: GGUFHeader = real(cls, path, **more)
        return found

    monkeypatch.setattr(GGUFHeader, "read", classmethod(counting))
    content = weights()
    put(store, "a", (MediaType.MODEL, content))
    put(store, "b", (MediaType.MODEL, content))
    catalog = Catalog(store)
    catalog.list()
    catalog.list()
    assert len(read) == 1
    other = weights(general__file_type=1)
    put(store, "c", (MediaType.MODEL, other))
    path = store.find("c").model_path
    path.write_bytes(bytes(len(other)))
    assert [on_the_wire(entry).get("capabilities") for entry in catalog.list()][2] is None
    path.write_bytes(other)
    assert [on_the_wire(entry).get("capabilities") for entry in catalog.list()] == [["completion"]] * 3
