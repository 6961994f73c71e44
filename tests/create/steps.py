"""What the tests of creating share: uploading, creating, looking at what is there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pyollama.create import CreateRequest, create_model
from pyollama.store import Digest, Store

LIBRARY = "registry.ollama.ai/library"


def upload(store: Store, content: bytes) -> Digest:
    """Put in a blob, in several pieces."""
    with store.new_blob() as blob:
        for start in range(0, len(content), 1 << 20):
            blob.write(content[start : start + (1 << 20)])
        return blob.finish()[0]


def create(store: Store, **fields: Any) -> list[str]:
    """Make a model; the steps."""
    return [progress.status for progress in create_model(store, CreateRequest(**fields))]


def manifest(store: Store, path: str) -> Any:
    """The JSON of a manifest in the default namespace."""
    return json.loads((store.root / "manifests" / LIBRARY / path).read_bytes())


def files(root: Path) -> list[str]:
    """The files below a directory."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
