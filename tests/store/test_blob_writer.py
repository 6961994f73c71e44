"""Writing blobs: whole or not at all, whoever else writes, and whatever goes wrong."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyollama.errors import Closed, InvalidRequest, StoreError
from pyollama.store import Digest, Store

from .directory import ModelDirectory, digest

TEMPORARY = re.compile(r"sha256-[0-9]{1,18}")
OLD_NS = 10**18  # 2001


@pytest.fixture
def store(directory: ModelDirectory) -> Store:
    return Store([directory.root])


def blobs(store: Store) -> list[str]:
    return sorted(os.listdir(store.root / "blobs")) if (store.root / "blobs").exists() else []


def test_write(store: Store) -> None:
    """Catches a blob under another name, with another content, or that others may not read."""
    content = b"one" + b"two" * 100_000
    with store.new_blob() as blob:
        assert [name for name in blobs(store) if TEMPORARY.fullmatch(name)] == blobs(store) != []
        blob.write(b"one")
        blob.write(bytearray())
        blob.write(memoryview(content)[3:])
        assert (blob.size, blob.digest) == (len(content), digest(content))
        written = blob.finish()
    assert written == (digest(content), len(content), True)
    path = store.blob_path(written[0])
    assert path is not None
    assert path.read_bytes() == content
    assert blobs(store) == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755


def test_empty_blob(store: Store) -> None:
    """Catches an upload of nothing that fails or gets no digest."""
    assert store.write_blob(b"") == (digest(b""), 0, True)


def test_existing_blob_is_kept_and_touched(store: Store) -> None:
    """Catches a reused blob that looks old: another process would remove it before its manifest is there."""
    first = store.write_blob(b"content")
    path = store.blob_path(first[0])
    assert path is not None
    os.utime(path, ns=(OLD_NS, OLD_NS))
    inode = path.stat().st_ino
    assert store.write_blob(b"content") == (first[0], 7, False)
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime_ns > OLD_NS
    assert blobs(store) == [path.name]


def test_damaged_blob_is_replaced(store: Store) -> None:
    """Catches a blob that was cut short and stays so, however often it is uploaded."""
    found, _, _ = store.write_blob(b"content")
    path = store.blob_path(found)
    assert path is not None
    path.write_bytes(b"con")
    assert store.write_blob(b"content") == (found, 7, True)
    assert path.read_bytes() == b"content"


def test_wrong_digest(store: Store) -> None:
    """Catches an upload that is kept under the digest that the client said, and not the true one."""
    wanted = Digest(digest(b"other"))
    with store.new_blob() as blob:
        blob.write(b"content")
        with pytest.raises(InvalidRequest) as caught:
            blob.finish(wanted)
    assert str(caught.value) == f'digest mismatch, expected "{wanted}", got "{digest(b"content")}"'
    assert not store.has_blob(wanted)
    assert blobs(store) == [digest(b"content").replace(":", "-")]
    with store.new_blob() as blob:
        blob.write(b"other")
        assert blob.finish(wanted) == (wanted, 5, True)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_nothing_is_left_of_a_failed_upload(error: type[BaseException], store: Store) -> None:
    """Catches a temporary file that stays when a client goes away, for each way that it may show."""
    with pytest.raises(error), store.new_blob() as blob:
        blob.write(b"x" * 1000)
        raise error
    with store.new_blob():
        pass
    assert blobs(store) == []


def test_use_after_the_end(store: Store) -> None:
    """Catches a write that lands in another file, whose descriptor has the number of the closed one."""
    blob = store.new_blob()
    with pytest.raises(Closed):
        blob.write(b"x")
    with blob:
        blob.close()
        blob.close()
        with pytest.raises(Closed):
            blob.write(b"x")
        with pytest.raises(Closed):
            blob.finish()
    with store.new_blob() as blob:
        blob.finish()
        with pytest.raises(Closed):
            blob.finish()


def test_closing_does_not_wait_for_the_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a server that stands still while a large upload, whose client went away, reaches the disk."""
    waits, go_on = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def slow(_: int) -> None:
        waits.set()
        assert go_on.wait(10)

    def finish() -> None:
        try:
            blob.finish()
        except Closed as error:
            errors.append(error)

    monkeypatch.setattr(os, "fsync", slow)
    with store.new_blob() as blob:
        blob.write(b"content")
        thread = threading.Thread(target=finish)
        thread.start()
        assert waits.wait(10)
        blob.close()
        assert not go_on.is_set()
    go_on.set()
    thread.join()
    assert len(errors) == 1
    assert blobs(store) == []


def test_two_writers_of_the_same_blob(store: Store) -> None:
    """Catches writers of one blob that disturb each other: a mixture, an error, a file that is left behind."""
    content = os.urandom(1 << 20)
    together = threading.Barrier(4)
    written = []

    def write() -> None:
        with store.new_blob() as blob:
            together.wait(10)
            for start in range(0, len(content), 4096):
                blob.write(content[start : start + 4096])
            together.wait(10)
            written.append(blob.finish())

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {found[:2] for found in written} == {(digest(content), len(content))}
    assert len(written) == 4
    assert any(created for _, _, created in written)
    path = store.blob_path(written[0][0])
    assert path is not None
    assert path.read_bytes() == content
    assert blobs(store) == [path.name]


DYING = """
import os, signal, sys
from pyollama.store import Store
with Store([sys.argv[1]]).new_blob() as blob:
    blob.write(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_that_dies(store: Store) -> None:
    """Catches half of a blob that counts as one, and a leftover that is not known as such by its name."""
    done = subprocess.run([sys.executable, "-P", "-c", DYING, str(store.root)])
    assert done.returncode == -signal.SIGKILL
    (left,) = blobs(store)
    assert TEMPORARY.fullmatch(left)
    assert store.write_blob(b"half of it") == (digest(b"half of it"), 10, True)
    assert store.list() == []
    assert left in blobs(store)


def test_constant_memory(store: Store) -> None:
    """Catches an upload of gigabytes that is held in memory."""
    chunk = bytes(1 << 16)
    tracemalloc.start()
    try:
        with store.new_blob() as blob:
            for _ in range(1600):
                blob.write(chunk)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            blob.write(chunk)
            blob.finish()
        assert tracemalloc.get_traced_memory()[1] - before < 100_000
    finally:
        tracemalloc.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    path = tmp_path / "small"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("this system has no mount command")
    if mounted.returncode:
        pytest.skip(f"this user may not mount a small disk: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_disk_full(small_disk: Path) -> None:
    """Catches a full disk that leaves half of a blob, or its temporary file, or hides what went wrong."""
    store = Store([small_disk / "models"])
    content = os.urandom(1 << 20)
    with pytest.raises(OSError, match="No space left") as caught, store.new_blob() as blob:
        blob.write(content[: 1 << 16])
        blob.write(content[1 << 16 :])
    assert caught.value.errno == errno.ENOSPC
    assert str(small_disk) in str(caught.value)
    assert blobs(store) == []
    # There is room again, and it works.
    assert store.write_blob(content[: 1 << 17])[2]


def test_file_in_the_way(directory: ModelDirectory, store: Store) -> None:
    """Catches an error that does not say which directory cannot be made."""
    directory.root.mkdir()
    (directory.root / "blobs").write_text("")
    with pytest.raises(StoreError, match=r"blobs'?: ensure path elements are traversable$"):
        store.write_blob(b"x")


def test_links_are_not_followed_by_what_is_written(store: Store, tmp_path: Path) -> None:
    """Catches a prepared link through which a blob overwrites a file outside."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path = store.root / "blobs" / digest(b"content").replace(":", "-")
    path.parent.mkdir(parents=True)
    path.symlink_to(victim)
    assert store.write_blob(b"content")[2]
    assert victim.read_bytes() == b"precious"
    assert path.read_bytes() == b"content"
    assert not path.is_symlink()


# --- adopting --------------------------------------------------------------------------------------


def test_adopt(tmp_path: Path) -> None:
    """Catches a blob that is shared with the read-only root: its time would change there, too."""
    user, behind = ModelDirectory(tmp_path / "user"), ModelDirectory(tmp_path / "behind")
    source = behind.blob(b"content")
    os.utime(source, ns=(OLD_NS, OLD_NS))
    store = Store([user.root, behind.root])
    wanted = Digest(digest(b"content"))
    assert store.blob_path(wanted) == source
    for _ in range(2):
        assert store.adopt_blob(wanted) == 7
    copy = user.blob_of(b"content")
    assert store.blob_path(wanted) == copy
    assert copy.read_bytes() == b"content"
    assert not copy.samefile(source)
    assert source.stat().st_mtime_ns == OLD_NS
    os.utime(copy, ns=(OLD_NS, OLD_NS))
    store.adopt_blob(wanted, 7)
    assert copy.stat().st_mtime_ns > OLD_NS


def test_adopt_damaged(tmp_path: Path) -> None:
    """Catches a damaged blob that goes into a new model, and a sound one that is not found behind it."""
    user, behind = ModelDirectory(tmp_path / "user"), ModelDirectory(tmp_path / "behind")
    store = Store([user.root, behind.root])
    wanted = Digest(digest(b"content"))
    with pytest.raises(StoreError, match=f'no blob "{wanted}"'):
        store.adopt_blob(wanted)
    user.blob(b"content").write_bytes(b"con")
    with pytest.raises(StoreError, match="of 7 bytes"):
        store.adopt_blob(wanted, 7)
    source = behind.blob(b"content")
    source.write_bytes(b"CONTENT")
    with pytest.raises(StoreError, match="another digest"):
        store.adopt_blob(wanted, 7)
    assert blobs(store) == [user.blob_of(b"content").name]
    source.write_bytes(b"content")
    assert store.adopt_blob(wanted, 7) == 7
    assert user.blob_of(b"content").read_bytes() == b"content"


def test_what_is_no_file_is_no_blob(directory: ModelDirectory, store: Store) -> None:
    """Catches a pipe that is waited for, and a directory that counts as a blob."""
    path = directory.blob_of(b"content")
    path.mkdir(parents=True)
    wanted = Digest(digest(b"content"))
    assert not store.has_blob(wanted)
    path.rmdir()
    os.mkfifo(path)
    assert not store.has_blob(wanted)
    with pytest.raises(StoreError):
        store.adopt_blob(wanted)


# --- the root that is written to, old names --------------------------------------------------------


def test_embedded_models_are_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a package that changes itself, when somebody names its directory or there is no other."""
    embedded = Store.default().roots[-1]
    link = tmp_path / "link"
    link.symlink_to(embedded)
    before = sorted(os.listdir(embedded / "blobs"))
    for roots in ([embedded], [link, embedded]):
        with pytest.raises(StoreError, match="come with pyollama cannot be changed"):
            Store(roots).write_blob(b"x")
    with pytest.raises(StoreError, match="no directory"):
        Store([]).write_blob(b"x")
    assert sorted(os.listdir(embedded / "blobs")) == before


def test_legacy_names(directory: ModelDirectory, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Catches blobs of an old installation that are not found, or that replace newer ones."""
    assert store.rename_legacy_blobs() == 0
    assert not directory.root.exists()
    sound = directory.blob(b"sound")
    moved = directory.blob(b"old")
    for path in (directory.blob_of(b"old"), directory.blob_of(b"sound")):
        path.with_name(path.name.replace("-", ":")).write_bytes(b"old")
    moved.unlink()
    deeper = directory.root / "blobs" / "deeper"
    deeper.mkdir()
    (deeper / "sha256:abc").write_bytes(b"")
    assert store.rename_legacy_blobs() == 2
    assert (sound.read_bytes(), moved.read_bytes()) == (b"sound", b"old")
    assert [path.name for path in deeper.iterdir()] == ["sha256-abc"]
    assert len(caplog.messages) == 1
    assert hashlib.sha256(b"sound").hexdigest() in caplog.messages[0]
    assert store.rename_legacy_blobs() == 0
