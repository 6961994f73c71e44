"""Reading small files that others wrote: in bounded memory, without waiting, with errors that say why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pyollama.errors import StoreError

__all__ = ["json_errors", "read_file"]


def read_file(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    """The content of a regular file, and what the system says about it.

    Symbolic links are followed: people move models to other disks that way. So what is there may be anything:
    opening a named pipe must not wait for a writer, and no more is read than the size that the system says
    (0 for all of ``/proc``).

    Raises:
        StoreError: It is not a regular file, or has more than ``limit`` bytes; the text is only the reason.
        OSError: It is not there or may not be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError("it is not a regular file")
        if found.st_size > limit:
            raise StoreError(f"it has {found.st_size} bytes, at most {limit} are allowed")
        return file.read(found.st_size), found


@contextmanager
def json_errors(error: type[StoreError]) -> Iterator[None]:
    """Turn whatever is wrong with a JSON text into ``error``."""
    try:
        yield
    except UnicodeDecodeError as cause:
        raise error("it is not valid JSON: a text in it is not UTF-8") from cause
    except RecursionError as cause:
        raise error("it is not valid JSON: it is nested too deeply") from cause
    except msgspec.ValidationError as cause:
        raise error(f"its content is wrong: {cause}") from cause
    except msgspec.MsgspecError as cause:
        raise error(f"it is not valid JSON: {cause}") from cause
