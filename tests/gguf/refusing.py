"""Asserts that a file is refused, soon and without much memory."""

from __future__ import annotations

import os
import re
import time
import tracemalloc
from pathlib import Path

import pytest

from pyollama.errors import InvalidModelFile
from pyollama.gguf import GGUFHeader

MAX_BYTES = 64 << 20
MAX_SECONDS = 2.0


def refused(path: Path, text: str, **arguments: object) -> InvalidModelFile:
    """The error; ``text`` is a pattern for what it says after the path."""
    start = time.perf_counter()
    with pytest.raises(InvalidModelFile) as caught:
        GGUFHeader.read(path, **arguments)  # type: ignore[arg-type]
    assert time.perf_counter() - start < MAX_SECONDS
    error = caught.value
    assert str(error).startswith(f"{path}: ")
    assert error.path == os.fspath(path)
    assert re.search(text, error.reason), error.reason
    # Bytes of the file come out quoted: no control character reaches a terminal.
    assert error.reason.isprintable()
    assert len(error.reason) < 1_500
    return error


def refused_with_little_memory(path: Path, text: str, **arguments: object) -> None:
    """As `refused`; the time is taken without the slow accounting of memory."""
    refused(path, text, **arguments)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidModelFile):
            GGUFHeader.read(path, **arguments)  # type: ignore[arg-type]
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    finally:
        tracemalloc.stop()
