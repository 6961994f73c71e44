"""What the tests of model files share.

This folder has no ``__init__.py``: pytest would import it as ``gguf``, the name of the package that the tests
compare with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyollama

from .loading import Loader

MODELS = Path(pyollama.__file__).parent / "models"
LAYER = "application/vnd.ollama.image.model"


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The weights of the embedded model, found without the store's code."""
    manifest = MODELS / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "latest"
    layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
    (digest,) = (layer["digest"] for layer in layers if layer["mediaType"] == LAYER)
    return MODELS / "blobs" / digest.replace(":", "-")


@pytest.fixture(scope="module")
def loader() -> Iterator[Loader]:
    """Loads files with llama.cpp, in another process."""
    found = Loader()
    yield found
    found.close()
