"""The store in a directory that somebody prepared, or that the system does not let us read."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyollama.errors import Error, InvalidManifest, ModelNotFound, StoreError
from pyollama.store import Store
from pyollama.store.manifest import MAX_MANIFEST

from .directory import DEFAULT, HOSTILE_DIGESTS, ModelDirectory, names, wire

# --- hostile manifests -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", HOSTILE_DIGESTS, ids=lambda value: ascii(value)[:40])
def test_hostile_digests(value: Any, directory: ModelDirectory, tmp_path: Path) -> None:
    """Catches a digest that leads to a file outside (CVE-2024-37032)."""
    (tmp_path / "passwd").write_text("secret")
    text = value.decode() + "?" if isinstance(value, bytes) else value
    if text == "sha256:../../../../../../etc/passwd":
        text = "sha256:../../passwd"
    for kind in ("model", "system", "license"):
        layer = {**directory.layer(kind, "x"), "digest": text}
        path = directory.manifest("m/latest", wire([layer]))
        with pytest.raises(InvalidManifest) as caught:
            Store([directory.root]).find("m")
        assert str(path) in str(caught.value)
        assert "secret" not in str(caught.value)
    assert Store([directory.root]).list() == []


def test_huge_manifest_is_not_read(directory: ModelDirectory) -> None:
    """Catches a manifest of 100 MB that is read before it is measured, by find or by list."""
    path = directory.manifest("m/latest", b"")
    os.truncate(path, 100_000_000)
    directory.model("good/latest")
    store = Store([directory.root])
    tracemalloc.start()
    try:
        with pytest.raises(InvalidManifest, match=f"has 100000000 bytes, at most {MAX_MANIFEST}"):
            store.find("m")
        assert names(store) == ["good:latest"]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_many_layers(directory: ModelDirectory) -> None:
    """Catches a tensor model with 10,000 layers that is refused or takes seconds."""
    layers = [{**directory.layer("tensor", b"x"), "name": f"blk.{i}.weight"} for i in range(10_000)]
    directory.model("m/latest", *layers)
    start = time.perf_counter()
    assert len(Store([directory.root]).find("m").manifest.layers) == 10_000
    assert time.perf_counter() - start < 1.0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100))
def test_any_manifest(directory: ModelDirectory, data: bytes) -> None:
    """Catches bytes in a manifest that end in an error of another kind."""
    directory.manifest("m/latest", data)
    with pytest.raises(InvalidManifest):
        Store([directory.root]).find("m")
    assert Store([directory.root]).list() == []


# --- what the system does not let us read ----------------------------------------------------------


def loop(path: Path) -> None:
    """Make ``path`` unreadable, also for a user who may read everything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.name)


@pytest.mark.parametrize("level", ["manifests", "manifests/registry.ollama.ai", f"manifests/{DEFAULT}/m"])
def test_unreadable_directory(
    level: str, directory: ModelDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches a directory that cannot be read and hides the models elsewhere, or looks like an empty one."""
    behind = ModelDirectory(tmp_path / "behind")
    behind.model("tiny/latest")
    loop(directory.root / level)
    store = Store([directory.root, behind.root])
    assert names(store) == ["tiny:latest"]
    assert store.find("tiny").name.model == "tiny"
    assert len(caplog.messages) == 1
    assert str(directory.root / level) in caplog.messages[0]
    with pytest.raises(StoreError, match=r"cannot be read.*OLLAMA_MODELS") as caught:
        store.find("m")
    assert str(directory.root / level) in str(caught.value)
    assert not isinstance(caught.value, ModelNotFound)


def test_no_permission(directory: ModelDirectory, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a Python error, or silence, when rights are missing."""
    path = directory.model("m/latest")
    directory.model("good/latest")
    store = Store([directory.root])
    for forbidden in (path, path.parent):
        forbidden.chmod(0)
        try:
            if os.access(forbidden, os.R_OK):
                pytest.skip("this user may read everything")
            with pytest.raises(StoreError, match="Permission denied"):
                store.find("m")
            assert names(store) == ["good:latest"]
        finally:
            forbidden.chmod(0o755)
    assert "Permission denied" in caplog.text


def test_manifest_that_is_no_file(directory: ModelDirectory) -> None:
    """Catches a named pipe that is waited for, and an endless file of the system that is read."""
    pipe = directory.manifest("pipe/latest", b"")
    pipe.unlink()
    os.mkfifo(pipe)
    for name, target in (("zero", "/dev/zero"), ("proc", "/proc/self/mem")):
        link = directory.manifest(f"{name}/latest", b"")
        link.unlink()
        link.symlink_to(target)
    store = Store([directory.root])
    done: list[str] = []

    def ask() -> None:
        for name in ("pipe", "zero", "proc"):
            try:
                store.find(name)
            except Error:
                done.append(name)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(5)
    assert done[:2] == ["pipe", "zero"]
    assert not thread.is_alive()
    assert store.list() == []


def test_link_to_a_secret(
    directory: ModelDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Catches a link in the directory through which a file outside gets out, in a layer or in a message."""
    secret = tmp_path / "shadow"
    secret.write_text("root:$6$hunter2")
    linked = directory.blob(b"root:harmless!!")  # of the same size
    layer = directory.layer("system", b"root:harmless!!")
    directory.model("m/latest", layer, {**layer, "mediaType": "application/vnd.ollama.image.license"})
    linked.unlink()
    linked.symlink_to(secret)
    manifest = directory.manifest("n/latest", b"")
    manifest.unlink()
    manifest.symlink_to(secret)
    store = Store([directory.root])
    model = store.find("m")
    texts = []
    for read in (lambda: model.system, lambda: model.licenses, lambda: store.find("n")):
        with pytest.raises(StoreError) as caught:
            read()
        texts.append(str(caught.value))
    store.list()
    assert "hunter2" not in "".join([*texts, caplog.text])


def test_links_to_another_disk(directory: ModelDirectory, tmp_path: Path) -> None:
    """Catches a directory that people have spread over disks by links, as Ollama allows."""
    directory.model("m/latest", directory.layer("model", b"GGUF"), directory.layer("system", "hello"))
    disk = tmp_path / "disk"
    disk.mkdir()
    for path in sorted((directory.root / "blobs").iterdir()):
        path.rename(disk / path.name)
        path.symlink_to(disk / path.name)
    (directory.root / "manifests").rename(disk / "manifests")
    (directory.root / "manifests").symlink_to(disk / "manifests")
    model = Store([directory.root]).find("m")
    assert model.system == "hello"
    assert model.model_path.read_bytes() == b"GGUF"
    assert names(Store([directory.root])) == ["m:latest"]
