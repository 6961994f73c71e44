"""What answers say about a stored model."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

__all__ = ["Details", "ModelEntry"]


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of model it is. Empty texts where nobody has said it.

    Args:
        parent_model: The model or file that its weights were taken from.
        format: ``gguf``, or ``safetensors``.
        family: Architecture, such as ``llama``.
        families: One for each part with weights; null where nobody has said it.
        parameter_size: Such as ``6.7B``.
        quantization_level: Such as ``Q4_K_M``.
        context_length: Tokens that it was trained with; left out where nobody has said it.
        embedding_length: Its width; left out where nobody has said it.
    """

    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: tuple[str, ...] | None = None
    parameter_size: str = ""
    quantization_level: str = ""
    context_length: int | UnsetType = UNSET
    embedding_length: int | UnsetType = UNSET


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A model in a list of models.

    Args:
        name: For people: host and namespace are left out where they are the default.
        model: The same.
        modified_at: When its manifest was written, in local time.
        size: Of all its blobs, in bytes.
        digest: Of its manifest, as 64 hexadecimal digits.
        details: What kind of model it is.
        capabilities: What it can do; left out where nobody knows.
    """

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details
    capabilities: tuple[str, ...] | UnsetType = UNSET
