"""What older versions of Ollama left in a model directory."""

from __future__ import annotations

import logging
import os
from pathlib import Path

__all__ = ["rename_legacy_blobs"]

log = logging.getLogger("pyollama")

OLD, NEW = "sha256:", "sha256-"


def rename_legacy_blobs(blobs: Path) -> int:
    """Rename ``sha256:...`` to ``sha256-...``, wherever below ``blobs`` it is.

    A file that has its new name already is left alone, and so is what cannot be renamed; the log says why.

    Returns:
        How many were renamed.
    """
    renamed = 0
    for directory, directories, files in os.walk(blobs, topdown=False, onerror=_report):
        for name in (*files, *directories):
            if not name.startswith(OLD):
                continue
            old = Path(directory, name)
            new = old.with_name(NEW + name.removeprefix(OLD))
            if os.path.lexists(new):
                log.warning("%s is not renamed: %s is there already", old, new.name)
                continue
            try:
                old.rename(new)
                renamed += 1
            except OSError as error:
                _report(error)
    return renamed


def _report(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        log.warning("a blob with an old name is not renamed: %s", error)
