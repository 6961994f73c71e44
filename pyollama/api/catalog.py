"""The stored models as clients see them: their details, and what they can do."""

from __future__ import annotations

import builtins
import logging
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import UNSET

from pyollama.api.details import Details, ModelEntry
from pyollama.api.times import local_time
from pyollama.errors import InvalidModelFile, ModelNotFound, StoreError, Unsupported
from pyollama.gguf import GGUFHeader
from pyollama.store import MediaType, Store, StoredModel

__all__ = ["Catalog"]

log = logging.getLogger("pyollama")

CAPABILITIES = ("completion", "tools", "insert", "vision", "embedding", "thinking", "image", "audio")
# Files whose headers are remembered: a few hundred bytes for each.
MAX_FACTS = 4096
MAX_WARNINGS = 1000
UNREADABLE = (StoreError, Unsupported, InvalidModelFile, ModelNotFound, OSError)


class Catalog:
    """The models of a store, with what their files say about them.

    A file is read once: its name is its digest. The methods block while they read; threads may share a catalog.

    Args:
        store: Where the models are.

    Example::

        catalog = Catalog(Store.default())
        [entry.name for entry in catalog.list()]   # ["tiny:latest"]
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._facts = lru_cache(maxsize=MAX_FACTS)(_facts)
        self._warned: set[str] = set()

    def list(self) -> builtins.list[ModelEntry]:
        """All models, the last modified first.

        One whose config cannot be read is left out. One whose weights cannot be read is there, with what the
        config says; the log says why.
        """
        return [self._entry(stored) for stored in self.store.list()]

    def details(self, stored: StoredModel) -> Details:
        """What kind of model it is: what its config says and, where that is silent, what its weights say.

        Raises:
            StoreError: The config cannot be read.
        """
        config = stored.config
        layer = stored.manifest.last(MediaType.MODEL)
        facts = self._known(stored)
        level = config.file_type
        return Details(
            parent_model=layer.origin if layer else "",
            format=config.model_format,
            family=config.model_family,
            families=config.model_families,
            parameter_size=config.model_type,
            quantization_level=level if level not in ("", "unknown") else facts.file_type or level,
            context_length=config.context_length or facts.context_length or UNSET,
            embedding_length=config.embedding_length or facts.embedding_length or UNSET,
        )

    def capabilities(self, stored: StoredModel) -> tuple[str, ...]:
        """What a model can do, as its files and its config show, in a fixed order.

        Raises:
            StoreError: A file or the config is missing or damaged.
            Unsupported: The weights are elsewhere, or in another format.
            InvalidModelFile: A file is not one that can be loaded.
        """
        found = {*stored.config.capabilities, *self._facts(stored.model_path).capabilities}
        for path in stored.projector_paths:
            found.update(self._facts(path).capabilities)
        return tuple(name for name in CAPABILITIES if name in found)

    def _entry(self, stored: StoredModel) -> ModelEntry:
        try:
            capabilities = self.capabilities(stored)
        except UNREADABLE as error:
            self._warn(stored, error)
            capabilities = stored.config.capabilities
        return ModelEntry(
            name=stored.name.short,
            model=stored.name.short,
            modified_at=local_time(stored.modified_ns),
            size=stored.size,
            digest=stored.digest.hex,
            details=self.details(stored),
            capabilities=capabilities or UNSET,
        )

    def _known(self, stored: StoredModel) -> _Facts:
        """What the weights say; nothing where they cannot be read."""
        try:
            return self._facts(stored.model_path)
        except UNREADABLE as error:
            self._warn(stored, error)
            return _Facts()

    def _warn(self, stored: StoredModel, error: Exception) -> None:
        """Log it once: clients list again and again."""
        text = f'what model "{stored.name}" can do is not known: {error}'
        if text not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(text)
            log.warning("%s", text)


class _Facts(msgspec.Struct, frozen=True):
    """What the header of a GGUF file says."""

    file_type: str = ""
    context_length: int = 0
    embedding_length: int = 0
    capabilities: tuple[str, ...] = ()


def _facts(path: Path) -> _Facts:
    header = GGUFHeader.read(path)
    return _Facts(
        file_type="" if header.file_type == "unknown" else header.file_type,
        context_length=header.context_length,
        embedding_length=header.embedding_length,
        capabilities=tuple(_senses(header) if header.kind == "projector" else _skills(header)),
    )


def _skills(header: GGUFHeader) -> set[str]:
    """What a model can do by itself."""
    found = {"completion" if header.get("pooling_type") is None else "embedding"}
    template = header.chat_template
    if "tools" in template or "tool_call" in template:
        found.add("tools")
    if "<think>" in template and "</think>" in template:
        found.add("thinking")
    if header.number("vision.block_count"):
        found.add("vision")
    return found


def _senses(header: GGUFHeader) -> set[str]:
    """What a projector adds to a model."""
    said = {"vision": header.get("clip.has_vision_encoder"), "audio": header.get("clip.has_audio_encoder")}
    # Older projectors do not say it, and are for images.
    return {name for name, value in said.items() if value} or {"vision"}
