"""What the config blob of a model says about it."""

from __future__ import annotations

from typing import Any

import msgspec

from pyollama.errors import StoreError
from pyollama.store.go_json import OrderedObject, encode_json
from pyollama.store.reading import json_errors

__all__ = ["ModelConfig"]

# Written even where they say nothing.
ALWAYS = ("model_format", "model_family", "model_families", "model_type", "file_type", "architecture", "os")


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the config of a model says about it. All of it may be missing.

    Args:
        model_format: ``gguf`` or ``safetensors``; empty means gguf.
        model_family: Architecture, such as ``llama``.
        model_families: One for each model layer; None where the config does not say.
        model_type: Size as a text, such as ``6.7B``.
        file_type: Quantization level, such as ``Q4_K_M``.
        renderer: Built-in renderer to use in place of a template.
        parser: Built-in parser of the output.
        requires: The oldest server version that can run it.
        remote_host: Where the model runs, if it does not run here.
        remote_model: Its name there.
        capabilities: What it can do besides what the model file shows.
        context_length: Tokens of context; 0 where the config does not say.
        embedding_length: Width of the model; 0 where the config does not say.
        base_name: Of a remote model.
        draft: The draft model.
        architecture: Of the processor; means nothing.
        os: Means nothing.
    """

    model_format: str = ""
    model_family: str = ""
    model_families: tuple[str, ...] | None = None
    model_type: str = ""
    file_type: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    remote_model: str = ""
    capabilities: tuple[str, ...] = ()
    context_length: int = 0
    embedding_length: int = 0
    base_name: str = ""
    draft: dict[str, Any] | None = None
    architecture: str = ""
    os: str = ""

    @classmethod
    def decode(cls, data: bytes) -> ModelConfig:
        """Read the JSON of a config. Unknown keys are ignored; null is the same as a missing key.

        Raises:
            StoreError: It is not a JSON object, or a key has a value of the wrong type.
        """
        with json_errors(StoreError):
            found = msgspec.json.decode(data, type=dict[str, Any])
            return msgspec.convert({key: found[key] for key in found if found[key] is not None}, cls)

    def encode(self) -> bytes:
        """The JSON of the config, byte for byte as Ollama writes it.

        Example::

            ModelConfig(model_format="gguf", architecture="amd64", os="linux").encode()

        Raises:
            ValueError: Something in ``draft`` has no form in JSON; so does TypeError.
        """
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return encode_json(OrderedObject((name, value) for name, value in values if value or name in ALWAYS))
