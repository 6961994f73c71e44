"""Makes model directories, sound and damaged ones."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pyollama.store import Store

DEFAULT = "registry.ollama.ai/library"
PREFIX = "application/vnd.ollama.image."
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"

HEX = "0123456789abcdef" * 4

# The first is CVE-2024-37032: the text became a path as it was.
HOSTILE_DIGESTS: list[Any] = [
    "sha256:../../../../../../etc/passwd",
    "sha256:../" + "a" * 61,
    "sha256:" + "../" * 21 + "a",
    "../../etc/passwd",
    "",
    "sha256:",
    "sha256:" + HEX[:63],
    "sha256:" + HEX + "a",
    "sha256:" + HEX.upper(),
    "sha256:" + HEX[:63] + "g",
    "SHA256:" + HEX,
    "sha512:" + HEX,
    "sha512:" + HEX * 2,
    "sha256-" + HEX,
    HEX,
    " sha256:" + HEX,
    "sha256:" + HEX + "\n",
    "sha256:" + HEX[:63] + "\n",
    "sha256:" + HEX[:63] + "\0",
    "sha256:" + HEX[:60] + "/../",
    "sha256:" + HEX[:63] + "\u0661",
    "sha256:" + HEX[:63] + "\uff11",
    "sha256:" + "a" * 10_000_000,
    None,
    3,
    b"sha256:" + HEX.encode(),
]


class ModelDirectory:
    """A model directory below ``root``, which is made when something is put into it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, content: bytes) -> Path:
        """Put in a blob."""
        path = self.blob_of(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(content)
        return path

    def blob_of(self, content: bytes) -> Path:
        """Where the blob with that content is."""
        return self.root / "blobs" / f"sha256-{hashlib.sha256(content).hexdigest()}"

    def layer(self, kind: str, content: bytes | str, **more: Any) -> dict[str, Any]:
        """Put in a blob; the layer object for it."""
        data = content.encode() if isinstance(content, str) else content
        self.blob(data)
        media_type = kind if "/" in kind else PREFIX + kind
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)} | more

    def manifest(self, path: str, content: Any, *, mtime_ns: int | None = None) -> Path:
        """Put in a manifest; ``path`` has four levels, or two below the default ones."""
        file = self.root / "manifests" / (path if path.count("/") == 3 else f"{DEFAULT}/{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        if mtime_ns is not None:
            os.utime(file, ns=(mtime_ns, mtime_ns))
        return file

    def model(
        self, path: str, *layers: dict[str, Any], config: Any = None, mtime_ns: int | None = None
    ) -> Path:
        """Put in a model with a config and these layers; a small model file where there are none."""
        text = json.dumps({"model_format": "gguf", "file_type": "F32"} if config is None else config)
        found = list(layers) or [self.layer("model", b"GGUF")]
        return self.manifest(path, wire(found, config=self.layer(CONFIG_TYPE, text)), mtime_ns=mtime_ns)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def wire(layers: Any, **more: Any) -> dict[str, Any]:
    """The JSON of a manifest."""
    return {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": layers} | more


def names(store: Store) -> list[str]:
    """What ``store`` lists."""
    return [model.name.short for model in store.list()]
