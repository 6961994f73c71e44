"""Making a model of blobs: its manifest, its name, and what may be there already."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pyollama.errors import InvalidModelName, ModelNotFound, StoreError
from pyollama.store import Layer, Manifest, MediaType, ModelConfig, ModelName, Store

from .directory import DEFAULT, HEX, ModelDirectory, digest, names


@pytest.fixture
def store(directory: ModelDirectory) -> Store:
    return Store([directory.root])


def layer(store: Store, kind: MediaType, content: bytes, **more: Any) -> Layer:
    found, size, _ = store.write_blob(content)
    return Layer(media_type=kind, digest=found, size=size, **more)


def model(store: Store, text: str) -> Manifest:
    config = layer(store, MediaType.CONFIG, ModelConfig(model_format="gguf").encode())
    return Manifest(config=config, layers=(layer(store, MediaType.SYSTEM, text.encode()),))


def write(store: Store, name: str, text: str = "text") -> None:
    store.write_manifest(ModelName.parse(name), model(store, text))


def manifests(store: Store) -> list[str]:
    root = store.root / "manifests"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


# --- the bytes -------------------------------------------------------------------------------------


def test_bytes(directory: ModelDirectory, store: Store) -> None:
    """Catches a manifest that differs from Ollama's in a byte: the model would have another digest."""
    config = layer(store, MediaType.CONFIG, b"{}\n")
    first = layer(store, MediaType.MODEL, b"GGUF", origin="<base>:latest")
    second = layer(store, MediaType.TENSOR, b"", name="a&b.weight")
    store.write_manifest(ModelName.parse("me/m:t"), Manifest(config=config, layers=(first, second)))
    path = directory.root / "manifests" / "registry.ollama.ai" / "me" / "m" / "t"
    assert path.read_text() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        '"config":{"mediaType":"application/vnd.docker.container.image.v1+json",'
        f'"digest":"{digest(b"{}" + bytes([10]))}","size":3}},"layers":['
        '{"mediaType":"application/vnd.ollama.image.model",'
        f'"digest":"{digest(b"GGUF")}","size":4,"from":"\\u003cbase\\u003e:latest"}},'
        '{"mediaType":"application/vnd.ollama.image.tensor",'
        f'"digest":"{digest(b"")}","size":0,"name":"a\\u0026b.weight"}}]}}\n'
    )
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755
    found = store.find("me/m:t")
    assert found.digest == digest(path.read_bytes())
    assert found.manifest == Manifest(config=config, layers=(first, second))


def test_no_config(store: Store) -> None:
    """Catches a model without a config that cannot be read again, here or by Ollama."""
    manifest = Manifest(layers=(layer(store, MediaType.SYSTEM, b"x"),))
    assert b'"config":{"mediaType":"","digest":"","size":0}' in manifest.encode()
    assert Manifest.decode(manifest.encode()) == manifest


def test_embedded_model_again() -> None:
    """Catches a config or a manifest that changes when it is read and written."""
    embedded = Store.default().roots[-1]
    found = Store([embedded]).find("tiny")
    path = embedded.joinpath("manifests", *found.name.path_parts)
    assert found.manifest.encode() == path.read_bytes()
    assert found.manifest.config is not None
    config = found.blob_path(found.manifest.config)
    assert found.config.encode() == config.read_bytes()


def test_config_bytes() -> None:
    """Catches a key of a config that is missing, is written without a value, or is in another place."""
    assert ModelConfig().encode() == (
        b'{"model_format":"","model_family":"","model_families":null,"model_type":"","file_type":"",'
        b'"architecture":"","os":""}\n'
    )
    full = ModelConfig(
        model_format="gguf",
        model_family="llama",
        model_families=("llama", "clip"),
        model_type="7B",
        file_type="Q4_0",
        renderer="r",
        parser="p",
        requires="0.1.0",
        remote_host="h",
        remote_model="m",
        capabilities=("tools",),
        context_length=4096,
        embedding_length=64,
        base_name="b",
        draft={"tensor_prefix": "d.", "architecture": "x"},
        architecture="amd64",
        os="linux",
    )
    assert full.encode() == (
        b'{"model_format":"gguf","model_family":"llama","model_families":["llama","clip"],"model_type":"7B",'
        b'"file_type":"Q4_0","renderer":"r","parser":"p","requires":"0.1.0","remote_host":"h","remote_model":"m",'
        b'"capabilities":["tools"],"context_length":4096,"embedding_length":64,"base_name":"b",'
        b'"draft":{"architecture":"x","tensor_prefix":"d."},"architecture":"amd64","os":"linux"}\n'
    )
    assert ModelConfig.decode(full.encode()) == full


# --- names -----------------------------------------------------------------------------------------


def test_case(store: Store) -> None:
    """Catches two models whose names differ in case only: which one is meant would be chance."""
    write(store, "Foo", "first")
    write(store, "fOO:LATEST", "second")
    assert names(store) == ["Foo:latest"]
    assert store.find("foo").system == "second"
    write(store, "foo:V2")
    write(store, "HF.co/me/x")
    write(store, "hf.CO/ME/FOO:v2")
    assert manifests(store) == [
        "HF.co/me/Foo/V2",
        "HF.co/me/x/latest",
        f"{DEFAULT}/Foo/V2",
        f"{DEFAULT}/Foo/latest",
    ]


def test_several_spellings(directory: ModelDirectory, store: Store) -> None:
    """Catches the other one of two models that is replaced."""
    for path in ("Foo/Latest", "foo/q4", "FOO/Q4"):
        directory.model(path)
    for given, spelled in [
        ("foo:q4", "foo:q4"),
        ("FOO:Q4", "FOO:Q4"),
        ("Foo:Q4", "FOO:Q4"),
        ("fOO", "Foo:Latest"),
        ("foo:new", "foo:new"),
        ("fOo:new", "FOO:new"),
        ("other:Q4", "other:Q4"),
    ]:
        assert store.spelling(ModelName.parse(given)).short == spelled, given


def test_scheme_is_kept(store: Store) -> None:
    """Catches a name that is reached in another way after its spelling was looked up."""
    assert store.spelling(ModelName.parse("http://h:1/a/b")).scheme == "http"


@pytest.mark.parametrize(
    "text",
    ["../m", "/m", "a/../../m", "m:..", "m:../../x", "..", "m\0", "a\\b", "~/m", "C:/m", ".m", "m:-t", ""],
)
def test_hostile_names(text: str, store: Store, tmp_path: Path) -> None:
    """Catches a name that becomes a path outside of the directory."""
    with pytest.raises(InvalidModelName):
        write(store, text)
    assert {path.name for path in tmp_path.iterdir()} <= {"models"}
    assert manifests(store) == []


# --- all or nothing --------------------------------------------------------------------------------


def test_blobs_of_another_root_are_taken_in(tmp_path: Path) -> None:
    """Catches a model that breaks when the package that it was made from is removed."""
    behind = ModelDirectory(tmp_path / "behind")
    behind.model("m/latest", behind.layer("system", "behind"))
    store = Store([tmp_path / "user", behind.root])
    store.write_manifest(ModelName.parse("copy"), store.find("m").manifest)
    alone = Store([tmp_path / "user"])
    assert alone.find("copy").system == "behind"
    assert alone.find("copy").config.file_type == "F32"


@pytest.mark.parametrize(("found", "size"), [("sha256:" + HEX, 4), (digest(b"text"), 5)])
def test_missing_or_damaged_blob(found: str, size: int, store: Store) -> None:
    """Catches a model that is there and cannot be used."""
    write(store, "m", "before")
    store.write_blob(b"text")
    lost = Manifest.decode(
        b'{"layers":[{"mediaType":"application/vnd.ollama.image.system","digest":"%s","size":%d}]}'
        % (found.encode(), size)
    )
    for name in ("m", "new"):
        with pytest.raises(StoreError, match=f'no blob "{found}" of {size} bytes'):
            store.write_manifest(ModelName.parse(name), lost)
    assert names(store) == ["m:latest"]
    assert store.find("m").system == "before"


def test_readers_see_all_or_nothing(store: Store) -> None:
    """Catches half of a manifest, or no model at all, while it is replaced by another one."""
    versions = [model(store, text * 1000) for text in ("a", "b")]
    name = ModelName.parse("m")
    store.write_manifest(name, versions[0])
    over = threading.Event()
    seen: set[str] = set()
    errors: list[BaseException] = []

    def read() -> None:
        mine = Store([store.root])
        while not over.is_set():
            try:
                seen.add(str(mine.find("m").system)[:1])
                assert names(mine) == ["m:latest"]
            except BaseException as error:
                errors.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        store.write_manifest(name, versions[number % 2])
    over.set()
    reader.join()
    assert errors == []
    assert seen <= {"a", "b"}
    assert manifests(store) == [f"{DEFAULT}/m/latest"]


def test_many_writers(store: Store) -> None:
    """Catches two threads that make two models of one name in two spellings."""
    together = threading.Barrier(4)

    def create(name: str) -> None:
        together.wait(10)
        write(store, name, name)

    threads = [threading.Thread(target=create, args=[name]) for name in ("abc", "Abc", "aBc", "abC")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(store)) == 1
    assert len(manifests(store)) == 1


def test_failed_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a failed write that loses the model that was there, or leaves a file behind."""
    write(store, "m", "before")
    after = model(store, "after")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(OSError, match="No space left"):
                store.write_manifest(ModelName.parse("m"), after)
        assert store.find("m").system == "before"
        assert manifests(store) == [f"{DEFAULT}/m/latest"]


def test_leftover_of_a_dead_writer_is_harmless(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a temporary file in a place where it counts as a model, for us or for Ollama."""
    seen: list[Path] = []
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        seen.append(source)
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace)
        write(store, "m")
    left = seen[-1]
    assert left.parent == store.root / "manifests"
    left.write_bytes(b"half")
    assert names(store) == ["m:latest"]
    with pytest.raises(ModelNotFound):
        store.find(f"{left.name}/a/b")
    write(store, "n")
    assert caplog.messages == []


def test_directories_in_the_way(directory: ModelDirectory, store: Store) -> None:
    """Catches an error without the path, when a file or a directory has the place of another."""
    (directory.root / "manifests" / DEFAULT / "m" / "latest").mkdir(parents=True)
    with pytest.raises(OSError, match="m/latest"):
        write(store, "m")
    (directory.root / "manifests" / DEFAULT / "f").write_text("")
    with pytest.raises(StoreError, match="ensure path elements are traversable"):
        write(store, "f")
    assert manifests(store) == [f"{DEFAULT}/f"]
