"""The model directory, in Ollama's layout: names, digests, manifests, and finding the models in it.

`Store.default` is the user's directory with the embedded models behind it; `Store.find` finds a `StoredModel`
in it by its name. `Store.new_blob` and `Store.write_manifest` make new ones.
"""

from pyollama.store.digest import Digest
from pyollama.store.manifest import Layer, Manifest, MediaType
from pyollama.store.model_config import ModelConfig
from pyollama.store.name import ModelName
from pyollama.store.store import Store
from pyollama.store.stored_model import Message, StoredModel

__all__ = [
    "Digest",
    "Layer",
    "Manifest",
    "MediaType",
    "Message",
    "ModelConfig",
    "ModelName",
    "Store",
    "StoredModel",
]
