"""What the tests of the native engine share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pyollama

MODELS = Path(pyollama.__file__).parent / "models"
LAYER = "application/vnd.ollama.image.model"


@pytest.fixture(scope="session")
def backend():
    """llama.cpp, started."""
    from pyollama import native
    from pyollama.native import backend

    backend.init(str(native.LIBRARY_DIR))
    return backend


@pytest.fixture(scope="session")
def model_path() -> str:
    """The weights of the embedded model, found without the store's code."""
    manifest = MODELS / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "latest"
    layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
    (digest,) = (layer["digest"] for layer in layers if layer["mediaType"] == LAYER)
    return str(MODELS / "blobs" / digest.replace(":", "-"))


@pytest.fixture(scope="session")
def vocab(backend, model_path):
    """The embedded model without its weights."""
    from pyollama.native.model import Model

    return Model(model_path, vocab_only=True)
