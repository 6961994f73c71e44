"""Writing files in the model directory: whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pyollama.errors import StoreError

__all__ = ["make_directory", "new_file", "publish", "write_all", "write_atomically"]

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755
# Of 10**18 names, each try takes one.
TRIES = 8


def make_directory(path: Path) -> None:
    """Make a directory and those above it, unless they are there.

    Raises:
        StoreError: The system refuses, or something in the way is not a directory.
    """
    try:
        os.makedirs(path, mode=DIRECTORY_MODE, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{error}: ensure path elements are traversable") from error


def new_file(directory: Path, prefix: str) -> tuple[int, Path]:
    """Open a new file for writing. The directory is made where it is missing.

    Args:
        directory: Where to put it.
        prefix: What its name begins with; random digits follow, fewer than a digest has.

    Returns:
        Its descriptor, to be closed by the caller, and its path.

    Raises:
        StoreError: The directory cannot be made.
        OSError: The file cannot be made.
    """
    make_directory(directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    for _ in range(TRIES):
        path = directory / f"{prefix}{secrets.randbelow(10**18)}"
        try:
            return os.open(path, flags, 0o600), path
        except FileExistsError:
            continue
    raise StoreError(f"no new file can be made in {directory}: every name that was tried is taken")


def write_all(descriptor: int, data: memoryview, path: Path) -> None:
    """Write all of ``data``, without a buffer in between.

    Raises:
        OSError: The system refuses, on a full disk for example; it names ``path``.
    """
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def publish(descriptor: int, temporary: Path, path: Path) -> None:
    """Give a file that is complete its name, in place of what may have it.

    The content is on the disk before the name is: a crash of the machine leaves no file whose content is
    missing. The descriptor stays open.
    """
    os.fchmod(descriptor, FILE_MODE)
    os.fsync(descriptor)
    os.replace(temporary, path)


def write_atomically(path: Path, data: bytes, *, temporary_in: Path) -> None:
    """Write a small file: who reads it sees the old content or the new one, never a part.

    Args:
        path: The file; its directory is made where it is missing.
        data: Its content.
        temporary_in: A directory of the same file system, where a file that is left behind does no harm.

    Raises:
        StoreError: A directory cannot be made.
        OSError: The file cannot be written.
    """
    make_directory(path.parent)
    descriptor, temporary = new_file(temporary_in, "tmp-")
    try:
        try:
            write_all(descriptor, memoryview(data), temporary)
            publish(descriptor, temporary, path)
        finally:
            os.close(descriptor)
    finally:
        temporary.unlink(missing_ok=True)
