"""Models made of a GGUF file: what is stored, and which files are refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyollama.errors import InvalidModelFile, InvalidRequest, Unsupported
from pyollama.gguf import GGUFHeader
from pyollama.store import Store

from .gguf_files import KINDS, gguf_file
from .steps import create, files, manifest, sha256, upload


@pytest.fixture
def model_file(tmp_path: Path) -> bytes:
    return gguf_file("model", tmp_path / "small.gguf")


def test_steps_and_bytes(store: Store, model_file: bytes) -> None:
    """Catches a file that is changed, a config or manifest that is not Ollama's, and unknown steps."""
    digest = upload(store, model_file)
    steps = create(store, model="small", files={"dir/small.gguf": digest})
    assert steps == ["parsing GGUF", f"using existing layer {digest}", "writing manifest", "success"]
    config = (
        b'{"model_format":"gguf","model_family":"llama","model_families":["llama"],"model_type":"32",'
        b'"file_type":"F32","architecture":"amd64","os":"linux"}\n'
    )
    assert manifest(store, "small/latest") == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": sha256(config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.ollama.image.model",
                "digest": sha256(model_file),
                "size": len(model_file),
                "from": "dir/small.gguf",
            }
        ],
    }
    stored = store.find("small")
    assert stored.model_path.read_bytes() == model_file
    assert (stored.config.encode(), stored.template, stored.system) == (config, None, None)


def test_everything_that_a_request_sets(store: Store, model_file: bytes) -> None:
    """Catches layers that are missing, in another order, or not in Ollama's bytes."""
    digest = upload(store, model_file)
    steps = create(
        store,
        model="me/small:v1",
        files={"small.gguf": digest.replace(":", "-").upper().replace("SHA", "sha")},
        system="Be <brief> & kind.",
        license=("one", "", "two"),
        parameters={"top_p": 0.5, "stop": ["<a>"], "num_ctx": 4096, "temperature": 1e-5, "seed": None},
        messages=({"role": "USER", "content": "hi"}, {"role": "assistant", "content": ""}),
    )
    contents = [
        b"Be <brief> & kind.",
        b"one",
        b"two",
        b'{"num_ctx":4096,"stop":["\\u003ca\\u003e"],"temperature":0.00001,"top_p":0.5}\n',
        b'[{"role":"user","content":"hi"},{"role":"assistant","content":""}]\n',
    ]
    assert steps == [
        "parsing GGUF",
        f"using existing layer {digest}",
        *(f"creating new layer {sha256(content)}" for content in contents),
        "writing manifest",
        "success",
    ]
    stored = store.find("me/small:v1")
    kinds = [layer.media_type.rpartition(".")[2] for layer in stored.manifest.layers]
    assert kinds == ["model", "system", "license", "license", "params", "messages"]
    assert [layer.digest for layer in stored.manifest.layers[1:]] == [sha256(content) for content in contents]
    assert [layer.origin for layer in stored.manifest.layers] == ["small.gguf", *[""] * 5]
    assert [(message.role, message.content) for message in stored.messages] == [
        ("user", "hi"),
        ("assistant", ""),
    ]
    again = create(store, model="other", files={"small.gguf": digest}, license="two")
    assert again[1:3] == [f"using existing layer {digest}", f"using existing layer {sha256(b'two')}"]


def test_created_model_loads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a created model that cannot be used, or that ignores what was set."""
    from pyollama import LLM

    monkeypatch.setenv("OLLAMA_MODELS", str(store.root))
    digest = upload(store, store.find("tiny").model_path.read_bytes())
    create(store, model="Mine", files={"x.gguf": digest}, parameters={"num_predict": 3, "temperature": 0})
    with LLM("mine") as llm:
        answer = llm.chat([{"role": "user", "content": "What is the capital of France?"}])
    assert answer.stats.generated_tokens == 3


# --- files that are refused ------------------------------------------------------------------------


def refused(store: Store, content: bytes, path: str = "file.gguf") -> Exception:
    """The error; nothing but the upload is there."""
    digest = upload(store, content)
    before = files(store.root)
    with pytest.raises((InvalidModelFile, InvalidRequest, Unsupported)) as caught:
        create(store, model="m", files={path: digest})
    assert files(store.root) == before
    assert str(store.root) not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("length", [4, 8, 23, 100, 500, -1])
def test_truncated(length: int, store: Store, model_file: bytes) -> None:
    """Catches half of a file that becomes a model, and an error that names a path of the server."""
    error = refused(store, model_file[:length], "half.gguf")
    assert isinstance(error, InvalidModelFile)
    assert str(error).startswith("half.gguf: ")


@pytest.mark.parametrize("content", [b"", b"GGU", b"This is a text.\n" * 10, b"PK\x03\x04" + bytes(100)])
def test_no_gguf(content: bytes, store: Store) -> None:
    """Catches a text with the name of a model file that is read as one."""
    error = refused(store, content)
    assert isinstance(error, InvalidRequest)
    assert str(error) == "supplied file was not in GGUF format"
    for path in ("pytorch_model.bin", "file"):
        error = refused(store, content, path)
        assert isinstance(error, InvalidRequest)
        assert str(error) == "unknown type"


def test_name_does_not_matter(store: Store, model_file: bytes) -> None:
    """Catches a model file that is refused because of its name."""
    assert create(store, model="m", files={"weights": upload(store, model_file)})[-1] == "success"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("adapter", "it is an adapter, not a model"),
        ("projector", "it is a projector, not a model"),
        ("vocabulary", "it is a vocabulary without a model, not a model"),
    ],
)
def test_other_kinds(kind: str, reason: str, store: Store, tmp_path: Path) -> None:
    """Catches a model without weights: it would be there and could not be loaded."""
    error = refused(store, gguf_file(kind, tmp_path / "x"))
    assert isinstance(error, InvalidModelFile)
    assert str(error) == f"file.gguf: {reason}"
    assert kind in KINDS


def test_header_that_native_code_would_not_survive(store: Store, tmp_path: Path) -> None:
    """Catches a file that is stored before its header was checked."""
    error = refused(store, gguf_file("model", tmp_path / "x", llama__attention__head_count=0))
    assert isinstance(error, InvalidModelFile)
    assert str(error) == "file.gguf: llama.attention.head_count is 0"


def test_missing_blob(store: Store) -> None:
    """Catches a model that is made of a file that nobody has uploaded."""
    digest = sha256(b"nothing")
    with pytest.raises(InvalidRequest, match=f'^blob "{digest}" not found: upload'):
        create(store, model="m", files={"m.gguf": digest})
    assert not store.root.exists()


def test_safetensors_and_several_files(store: Store, model_file: bytes) -> None:
    """Catches a part of what was asked for that is ignored."""
    digest = upload(store, model_file)
    for given, message in [
        ({"a.safetensors": digest}, "safetensors"),
        ({"a.gguf": digest, "b.gguf": digest}, '"files" has 2 files'),
        ({"a.gguf": digest, "config.json": digest}, '"files" has 2 files'),
    ]:
        with pytest.raises(Unsupported, match=message):
            create(store, model="m", files=given)
    with pytest.raises(InvalidRequest, match=r"^unknown type$"):
        create(store, model="m", files={})


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "./a", "/etc/passwd"])
def test_hostile_paths(path: str, store: Store, model_file: bytes) -> None:
    """Catches a path of the client that leads out of a directory, should it ever become one here."""
    digest = upload(store, model_file)
    with pytest.raises(InvalidRequest, match=r"^file path must be relative$"):
        create(store, model="m", files={path: digest})


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:", "sha256:../../../etc/passwd", "sha256:" + "../" * 21 + "a", "../../etc/passwd", "0" * 64],
)
def test_hostile_digests(digest: str, store: Store, tmp_path: Path) -> None:
    """Catches a digest that becomes a path: a file of the server would be read."""
    with pytest.raises(InvalidRequest, match=r"^invalid digest format$"):
        create(store, model="m", files={"m.gguf": digest})
    assert list(tmp_path.iterdir()) == []


def test_long_path(store: Store, model_file: bytes) -> None:
    """Catches a name that makes the manifest too large to be read again."""
    digest = upload(store, model_file)
    with pytest.raises(InvalidRequest, match="has 5000 characters, at most 4096"):
        create(store, model="m", files={"a" * 5000: digest})


def test_odd_paths_do_no_harm(store: Store, model_file: bytes) -> None:
    """Catches a name that is valid for the client's system and spoils the manifest."""
    digest = upload(store, model_file)
    for path in ('a\\b"\n\0.gguf', "é日😀.gguf", "~", "-rf"):
        create(store, model="m", files={path: digest})
        assert store.find("m").manifest.layers[0].origin == path
    with pytest.raises(InvalidRequest, match="unpaired surrogate"):
        create(store, model="m", files={"\ud800": digest})


def test_blob_that_is_in_the_embedded_root_only(store: Store) -> None:
    """Catches a model that depends on the package, when its file was never uploaded."""
    path = store.find("tiny").model_path
    digest = path.name.replace("-", ":")
    create(store, model="m", files={"tiny.gguf": digest})
    alone = Store([store.root]).find("m")
    assert GGUFHeader.read(alone.model_path, kind="model").architecture == "llama"
    assert not os.path.samefile(alone.model_path, path)


def test_disk_full(store: Store, model_file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a failed create that is taken for a done one, or that leaves a temporary file."""
    digest = upload(store, model_file)
    before = files(store.root)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        create(store, model="m", files={"m.gguf": digest}, system="x")
    assert files(store.root) == before
