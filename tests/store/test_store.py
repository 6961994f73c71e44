"""The store: what it finds and lists in sound and in damaged directories."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyollama.errors import InvalidManifest, InvalidModelName, ModelNotFound, StoreError
from pyollama.store import ModelName, Store

from .directory import DEFAULT, ModelDirectory, digest, names, wire

SECOND = 10**9


# --- the embedded models, the default roots --------------------------------------------------------


def test_embedded_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a package whose own model is not found, or is damaged: the first command would fail."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "none"))
    store = Store.default()
    assert [(model.name.short, model.root) for model in store.list()] == [("tiny:latest", store.roots[1])]
    model = store.find("tiny")
    assert model.name.full == "registry.ollama.ai/library/tiny:latest"
    manifest = model.root / "manifests" / DEFAULT / "tiny" / "latest"
    assert model.digest == digest(manifest.read_bytes())
    assert model.modified_ns == manifest.stat().st_mtime_ns
    assert model.model_path.read_bytes()[:4] == b"GGUF"
    assert digest(model.model_path.read_bytes()) == model.model_path.name.replace("-", ":")
    assert model.parameters == {"stop": ["<|im_start|>", "<|im_end|>"], "temperature": 0.3}
    assert (model.config.model_format, model.config.model_family) == ("gguf", "llama")
    assert (model.config.file_type, model.config.model_families) == ("Q8_0", ("llama",))
    assert model.template is not None
    assert model.template.startswith("{{- range .Messages }}")
    assert model.licenses[0].startswith("MIT License")
    assert (model.system, model.messages, model.draft_path) == (None, (), None)
    assert (model.adapter_paths, model.projector_paths) == ((), ())
    sizes = [layer.size for layer in model.manifest.layers]
    assert model.size == sum(sizes) + 150
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("value", "root"),
    [
        (None, "home/.ollama/models"),
        ("", "home/.ollama/models"),
        (" \t", "home/.ollama/models"),
        ("''", "home/.ollama/models"),
        ("{}/m", "m"),
        ("  '{}/m'\n", "m"),
        ('"{}/m m"', "m m"),
        ("\"'{}/m'\"", "m"),
        ("m", "m"),
        ("{}/a/../m", "m"),
    ],
)
def test_users_root(value: str | None, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an existing installation that is looked for in another place than Ollama's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if value is None:
        monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    else:
        monkeypatch.setenv("OLLAMA_MODELS", value.format(tmp_path))
    store = Store.default()
    assert store.roots[0] == tmp_path / root
    assert store.roots[1].parts[-2:] == ("pyollama", "models")
    assert len(store.roots) == 2


def test_roots(directory: ModelDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a root that moves with the working directory, that counts twice, and a text for a list."""
    directory.model("m/latest")
    monkeypatch.chdir(tmp_path)
    store = Store(["models", tmp_path / "models", "none"])
    monkeypatch.chdir("/")
    assert store.roots == (tmp_path / "models", tmp_path / "none")
    assert names(store) == ["m:latest"]
    with pytest.raises(TypeError, match="must be a list"):
        Store("models")
    assert Store([]).list() == []


# --- find ------------------------------------------------------------------------------------------


def test_find(directory: ModelDirectory) -> None:
    """Catches a default part or a host that leads to another model."""
    paths = ["m/latest", "m/q4", "hf.co/u/Repo-GGUF/Q4_K_M", "localhost:5000/a/b/latest"]
    for path in paths:
        directory.model(path, directory.layer("system", path))
    store = Store([directory.root])
    for text, path in zip(
        ["m", "library/m:q4", "hf.co/u/Repo-GGUF:Q4_K_M", "http://localhost:5000/a/b"], paths, strict=True
    ):
        assert store.find(text).system == path
        assert store.find(ModelName.parse(text)).system == path


def test_case(directory: ModelDirectory) -> None:
    """Catches "Llama3" that is not found as "llama3", and another spelling that beats the exact one."""
    for path in ("Foo/Latest", "foo/q4", "FOO/Q4", "X.Y/N/M/T"):
        directory.model(path, directory.layer("system", path))
    store = Store([directory.root])
    assert store.find("fOO").system == "Foo/Latest"
    assert store.find("fOO").name.short == "Foo:Latest"
    assert store.find("foo:q4").system == "foo/q4"
    assert store.find("FOO:Q4").system == "FOO/Q4"
    assert store.find("Foo:q4").system == "FOO/Q4"  # none has this spelling: the first in order
    assert store.find("x.y/n/m:t").name.full == "X.Y/N/M:T"
    assert sorted(names(store)) == ["FOO:Q4", "Foo:Latest", "X.Y/N/M:T", "foo:q4"]


def test_no_folding_beyond_ascii(directory: ModelDirectory) -> None:
    """Catches the Kelvin sign, which lower() makes a "k" of."""
    directory.model("\u212a/latest")
    with pytest.raises(ModelNotFound):
        Store([directory.root]).find("k")


def test_not_found(directory: ModelDirectory) -> None:
    """Catches a message that leaves the user alone, and one with ten thousand names in it."""
    store = Store([directory.root])
    with pytest.raises(ModelNotFound) as caught:
        store.find("Foo")
    assert str(caught.value) == 'model "Foo:latest" not found; there are no models here'
    assert caught.value.name == "Foo:latest"
    for i in range(8):
        directory.manifest(f"m{i}/latest", b"broken")
    with pytest.raises(ModelNotFound, match=r"; the models here are m0:latest, m1:latest, .*, m7:latest$"):
        store.find("foo")
    directory.manifest("m8/latest", b"broken")
    with pytest.raises(ModelNotFound, match="more than 8 models here") as caught:
        store.find("m0:q4")
    assert "m1" not in str(caught.value)
    with pytest.raises(InvalidModelName):
        store.find("../m")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="abM.:/\\~-_\0", max_size=12))
def test_find_any_text(directory: ModelDirectory, text: str) -> None:
    """Catches a text that leads out of the directory or ends in an error of another kind."""
    outside = directory.root.parent / "a"
    outside.write_bytes(b"{}")
    directory.model("M/latest")
    try:
        model = Store([directory.root]).find(text)
    except (InvalidModelName, ModelNotFound):
        return
    assert model.name == ModelName.parse("M")


# --- roots behind each other -----------------------------------------------------------------------


def test_earlier_root_wins(tmp_path: Path) -> None:
    """Catches the embedded model in place of the user's, in any spelling, and a blob of another root."""
    user, behind = ModelDirectory(tmp_path / "user"), ModelDirectory(tmp_path / "behind")
    user.model("Tiny/latest", user.layer("system", "user's"))
    behind.model("tiny/latest", behind.layer("system", "embedded"))
    behind.model("other/latest")
    store = Store([user.root, behind.root])
    assert store.find("tiny").system == "user's"
    assert store.find("tiny").root == user.root
    assert sorted(names(store)) == ["Tiny:latest", "other:latest"]
    assert store.find("other").root == behind.root
    user.manifest("lost/latest", wire([behind.layer("system", "only behind")]))
    with pytest.raises(StoreError, match="it is missing"):
        _ = store.find("lost").system


def test_broken_model_still_hides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a name that silently means another model when the manifest in the first root is damaged."""
    user, behind = ModelDirectory(tmp_path / "user"), ModelDirectory(tmp_path / "behind")
    path = user.manifest("tiny/latest", b'{"layers"')
    behind.model("tiny/latest")
    store = Store([user.root, behind.root])
    with pytest.raises(InvalidManifest, match=str(path)):
        store.find("tiny")
    assert names(store) == []
    assert len(caplog.messages) == 1


# --- list ------------------------------------------------------------------------------------------


def test_order(directory: ModelDirectory) -> None:
    """Catches an order that jumps between calls, or differs from Ollama's: newest first, whole seconds."""
    directory.model("b/latest", mtime_ns=5 * SECOND + 1)
    directory.model("a/latest", mtime_ns=5 * SECOND)
    directory.model("c/latest", mtime_ns=6 * SECOND)
    directory.model("d/latest", mtime_ns=4 * SECOND + 999_999_999)
    models = Store([directory.root]).list()
    assert [model.name.model for model in models] == ["c", "a", "b", "d"]
    assert models[2].modified_ns == 5 * SECOND + 1


def test_sizes_and_digests(directory: ModelDirectory) -> None:
    """Catches a size by stat or without the config, and a digest of something else than the file's bytes."""
    layer = directory.layer("license", "ten bytes!")
    text = json.dumps(wire([layer, layer]), indent=3).encode() + b"\n\n"
    directory.manifest("m/latest", text)
    model = Store([directory.root]).list()[0]
    assert model.size == 20
    assert model.digest.hex == hashlib.sha256(text).hexdigest()
    assert model.licenses == ("ten bytes!", "ten bytes!")


def test_what_cannot_be_used_is_left_out(directory: ModelDirectory, caplog: pytest.LogCaptureFixture) -> None:
    """Catches one damaged model that hides the others, and damage that nobody hears of."""
    directory.model("good/latest")
    directory.manifest("no-config/latest", wire([directory.layer("model", b"GGUF")]))
    directory.manifest("empty/latest", b"")
    directory.manifest("cut/latest", b'{"schemaVersion":2,"lay')
    directory.manifest("binary/latest", bytes(range(256)))
    directory.model("bad-config/latest", config=[])
    directory.model("lost-template/latest", {**directory.layer("template", "x"), "digest": digest(b"lost")})
    lost = {**directory.layer("x", "x"), "digest": digest(b"lost")}
    directory.manifest("lost-config/latest", wire([], config=lost))
    for stray in (".DS_Store", ".tmp1", "a b", "-x"):
        directory.manifest(f"good/{stray}", b"")
    directory.manifest(".git/objects/ab/cdef", b"")
    directory.manifest(".git/objects/ab/cdf0", b"")
    (directory.root / "manifests" / "tmp123").write_bytes(b"")
    (directory.root / "manifests" / DEFAULT / "file").write_bytes(b"")
    (directory.root / "manifests" / DEFAULT / "good" / "dir" / "deeper").mkdir(parents=True)
    store = Store([directory.root])
    for _ in range(3):
        assert sorted(names(store)) == ["good:latest", "no-config:latest"]
    bad = ["empty", "cut", "binary", "bad-config", "lost-template", "lost-config"]
    for name in [*bad, ".DS_Store", ".tmp1", "a b", "-x", ".git"]:
        assert sum(f"{name}:latest" in text or f"{name}'" in text for text in caplog.messages) == 1, name
    assert len(caplog.messages) == 11


def test_warnings_are_bounded(directory: ModelDirectory, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a log that fills the disk when clients list a damaged directory again and again."""
    for i in range(1200):
        (directory.root / "manifests" / f"-{i}").mkdir(parents=True)
    store = Store([directory.root])
    store.list()
    store.list()
    assert len(caplog.messages) == 1000


def test_removed_meanwhile(
    directory: ModelDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches a crash when another process deletes a model while this one lists."""
    directory.model("a/latest")
    gone = directory.model("b/latest")
    real = os.open

    def open_after_removal(path: Any, *args: Any) -> int:
        gone.unlink(missing_ok=True)
        return real(path, *args)

    monkeypatch.setattr(os, "open", open_after_removal)
    assert names(Store([directory.root])) == ["a:latest"]
    assert caplog.messages == []


def test_many_models(directory: ModelDirectory) -> None:
    """Catches work that grows with the square of the number of models."""
    for i in range(1000):
        directory.model(f"m{i}/latest")
    store = Store([directory.root])
    start = time.perf_counter()
    assert len(store.list()) == 1000
    assert store.find("M999").name.model == "m999"
    with pytest.raises(ModelNotFound):
        store.find("none")
    assert time.perf_counter() - start < 3.0


def test_nothing_is_written(directory: ModelDirectory) -> None:
    """Catches a directory that changes because somebody looked."""
    directory.model("m/latest")

    def state() -> list[tuple[str, int]]:
        return [(str(path), path.stat().st_mtime_ns) for path in sorted(directory.root.rglob("*"))]

    before = state()
    store = Store([directory.root])
    store.list()
    _ = store.find("M").model_path
    assert state() == before
