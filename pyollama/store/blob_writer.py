"""Writes one blob: a temporary file, which becomes the blob once its content and so its digest is known."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from pyollama.errors import Closed, InvalidRequest
from pyollama.store.digest import Digest
from pyollama.store.writing import new_file, publish, write_all

__all__ = ["BlobWriter", "touch"]

log = logging.getLogger("pyollama")


class BlobWriter:
    """A blob while it is written, piece by piece, in constant memory. `Store.new_blob` makes it.

    The temporary file is made when the ``with`` block begins and is gone when it ends, however it ends. Only
    `finish` makes a blob of it. Each writer is for one caller at a time; closing it from another thread is
    safe, also while a piece is being written.

    Args:
        directory: Where blobs are. It is made where it is missing.

    Example::

        with store.new_blob() as blob:
            for chunk in chunks:
                blob.write(chunk)
            digest, size, created = blob.finish()
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._hash = hashlib.sha256()
        self._size = 0
        self._descriptor = -1
        self._temporary: Path | None = None
        # The number of a closed descriptor may already be another file's.
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._descriptor, self._temporary = new_file(self._directory, "sha256-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def digest(self) -> Digest:
        """Of what was written so far."""
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append ``data``.

        Raises:
            Closed: The ``with`` block has ended, or the blob is finished.
            OSError: The system refuses: the disk is full, for example.
        """
        view = memoryview(data).cast("B")
        with self._lock:
            write_all(self._open_descriptor(), view, self._path())
            self._hash.update(view)
            self._size += len(view)

    def finish(self, expected: Digest | None = None) -> tuple[Digest, int, bool]:
        """Make a blob of what was written.

        A blob that is already there is kept, and counts as just written for everybody who looks for old files.
        One that has another size is damaged and is replaced.

        Args:
            expected: What the digest should be.

        Returns:
            The digest, the size in bytes, and whether the blob is new.

        Raises:
            InvalidRequest: The digest is not the expected one. The blob is there all the same, under the
                digest that it has, until unused blobs are removed.
            Closed: The ``with`` block has ended, or the blob is finished.
            OSError: The system refuses.
        """
        digest = self.digest
        path = self._directory / digest.file_name
        created = not _has_size(path, self._size)
        if created:
            self._sync()
        with self._lock:
            descriptor = self._open_descriptor()
            if created:
                publish(descriptor, self._path(), path)
        touch(path)
        self.close()
        if expected is not None and digest != expected:
            raise InvalidRequest(f'digest mismatch, expected "{expected}", got "{digest}"')
        return digest, self._size, created

    def close(self) -> None:
        """Drop what was written and not finished. Harmless when repeated."""
        with self._lock:
            if self._descriptor < 0:
                return
            descriptor, self._descriptor = self._descriptor, -1
            try:
                os.close(descriptor)
            finally:
                # It may be gone: it was renamed, or another process has removed old files.
                self._path().unlink(missing_ok=True)

    def _sync(self) -> None:
        """Wait for the disk; for a large blob that takes seconds, in which `close` must not wait, too."""
        with self._lock:
            copy = os.dup(self._open_descriptor())
        try:
            os.fsync(copy)
        finally:
            os.close(copy)

    def _open_descriptor(self) -> int:
        if self._descriptor < 0:
            raise Closed("a blob is written inside a with block, and until it is finished")
        return self._descriptor

    def _path(self) -> Path:
        assert self._temporary is not None
        return self._temporary


def touch(path: Path) -> None:
    """Set the times of a blob to now, so that a process that removes old unused ones spares it.

    Raises:
        OSError: It is not there.
    """
    try:
        os.utime(path)
    except PermissionError as error:
        # Somebody else's file, that everybody shares: it can be used all the same.
        log.warning("%s keeps its old time: %s", path, error.strerror)


def _has_size(path: Path, size: int) -> bool:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size
