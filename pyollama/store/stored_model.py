"""A model as it is in the model directory: its manifest, and what its blobs hold."""

from __future__ import annotations

import os
import stat
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from pyollama.errors import StoreError, Unsupported
from pyollama.store.digest import Digest
from pyollama.store.manifest import Layer, Manifest, MediaType
from pyollama.store.model_config import ModelConfig
from pyollama.store.name import ModelName
from pyollama.store.reading import json_errors, read_file

__all__ = ["Message", "StoredModel"]

# Of all layers of one kind together: a manifest can list one large license ten thousand times.
MAX_TEXT = 8 << 20
# Decoded, free JSON takes up to fifty times its size.
MAX_JSON = 1 << 20


class Message(msgspec.Struct, frozen=True):
    """One message that every conversation with a model begins with."""

    role: str
    content: str


class StoredModel(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A model in one of the store's roots. `Store.find` and `Store.list` make it.

    The manifest has been read. Blobs are read when they are asked for, and only from the same root. A blob
    that is a text must have the digest that the manifest says: so neither damage nor a link to another file
    gets out. Of a model file only the size is compared; reading all of it would take minutes.

    Args:
        name: In the spelling of the directory.
        manifest: Which blobs the model is made of.
        digest: Of the bytes of the manifest; tells this version of the model from others.
        root: The model directory that it is in.
        modified_ns: When the manifest was written, in nanoseconds since 1970.

    Example::

        model = Store.default().find("tiny")
        model.model_path, model.parameters, model.config.file_type
    """

    name: ModelName
    manifest: Manifest
    digest: Digest
    root: Path
    modified_ns: int

    @property
    def size(self) -> int:
        """Bytes of all its blobs, as the manifest says; a blob that is listed twice counts twice."""
        return self.manifest.size

    @cached_property
    def config(self) -> ModelConfig:
        """What the config says. All of it is empty where the model has none.

        Raises:
            StoreError: The blob is missing, damaged, too large, or not a config.
        """
        layer = self.manifest.config
        if layer is None:
            return ModelConfig()
        data = self._read((layer,), MAX_JSON, "config")[0]
        try:
            return ModelConfig.decode(data)
        except StoreError as error:
            raise self._damaged("config", layer, str(error)) from error

    @property
    def model_path(self) -> Path:
        """The GGUF file of the model.

        Raises:
            StoreError: The blob is missing or has another size than the manifest says, or there is none.
            Unsupported: The model has no GGUF file: it runs elsewhere or is in another format.
        """
        layer = self.manifest.last(MediaType.MODEL)
        if layer is not None:
            return self.blob_path(layer, "model file")
        if self.manifest.of(MediaType.TENSOR) or self.config.model_format == "safetensors":
            raise Unsupported(f'model "{self.name}" is in safetensors format; make a GGUF model of it first')
        if self.config.remote_host:
            raise Unsupported(f'model "{self.name}" runs on {self.config.remote_host!a}, not on this machine')
        raise StoreError(f'model "{self.name}" has no model file in its manifest; pull or create it again')

    @property
    def adapter_paths(self) -> tuple[Path, ...]:
        """The LoRA adapters of the model. Raises StoreError where a blob is missing or has another size."""
        return self._paths(MediaType.ADAPTER)

    @property
    def projector_paths(self) -> tuple[Path, ...]:
        """The projectors for images. Raises StoreError where a blob is missing or has another size."""
        return self._paths(MediaType.PROJECTOR)

    @property
    def draft_path(self) -> Path | None:
        """The draft model, if any. Raises StoreError where the blob is missing or has another size."""
        layer = self.manifest.last(MediaType.DRAFT)
        return None if layer is None else self.blob_path(layer, "draft model")

    @property
    def template(self) -> str | None:
        """The Go template of the prompt; None where the model has none.

        Raises:
            StoreError: The blob is missing, damaged or too large.
        """
        return self._last_text("template", MediaType.TEMPLATE, MediaType.PROMPT)

    @property
    def system(self) -> str | None:
        """The system text; None where the model has none. Raises StoreError like `template`."""
        return self._last_text("system text", MediaType.SYSTEM)

    @property
    def licenses(self) -> tuple[str, ...]:
        """The license texts. Raises StoreError like `template`."""
        contents = self._read(self.manifest.of(MediaType.LICENSE), MAX_TEXT, "license")
        return tuple(content.decode("utf-8", "replace") for content in contents)

    @property
    def parameters(self) -> dict[str, Any]:
        """The options that the model sets, as they are in its parameters: nobody has checked them yet.

        Raises:
            StoreError: The blob is missing, damaged, too large, or not a JSON object.
        """
        merged: dict[str, Any] = {}
        layers = self.manifest.of(MediaType.PARAMS)
        for layer, content in zip(layers, self._read(layers, MAX_JSON, "parameters"), strict=True):
            merged |= self._json(layer, content, "parameters", dict[str, Any] | None) or {}
        return merged

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages that every conversation begins with.

        Raises:
            StoreError: The blob is missing, damaged, too large, or not a JSON array of messages.
        """
        layer = self.manifest.last(MediaType.MESSAGES)
        if layer is None:
            return ()
        content = self._read((layer,), MAX_TEXT, "messages")[0]
        found: tuple[Message, ...] | None = self._json(layer, content, "messages", tuple[Message, ...] | None)
        return found or ()

    def blob_path(self, layer: Layer, what: str = "layer") -> Path:
        """The file of a layer of this model.

        Args:
            layer: One of the manifest's.
            what: It is, for the error.

        Raises:
            StoreError: It is missing, is not a regular file, or has another size than the layer says.
        """
        path = self.root / "blobs" / layer.digest.file_name
        try:
            found = os.stat(path)
        except FileNotFoundError as error:
            raise self._damaged(what, layer, "it is missing") from error
        except OSError as error:
            raise self._damaged(what, layer, f"it cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise self._damaged(what, layer, "it is not a regular file")
        if found.st_size != layer.size:
            raise self._damaged(what, layer, f"it has {found.st_size} bytes, not {layer.size}")
        return path

    def _paths(self, kind: MediaType) -> tuple[Path, ...]:
        what = kind.rpartition(".")[2]
        return tuple(self.blob_path(layer, what) for layer in self.manifest.of(kind))

    def _last_text(self, what: str, *kinds: MediaType) -> str | None:
        layer = self.manifest.last(*kinds)
        if layer is None:
            return None
        return self._read((layer,), MAX_TEXT, what)[0].decode("utf-8", "replace")

    def _read(self, layers: tuple[Layer, ...], limit: int, what: str) -> list[bytes]:
        """What is in these layers: ``limit`` bytes at most, all together."""
        size = sum(layer.size for layer in layers)
        if size > limit:
            raise StoreError(
                f'model "{self.name}" is refused: its {what} has {size} bytes, at most {limit} are allowed'
            )
        contents = []
        for layer in layers:
            path = self.blob_path(layer, what)
            try:
                content, _ = read_file(path, layer.size)
            except StoreError as error:
                raise self._damaged(what, layer, str(error)) from error
            except OSError as error:
                raise self._damaged(what, layer, f"it cannot be read: {error.strerror}") from error
            if Digest.of_bytes(content) != layer.digest:
                raise self._damaged(what, layer, "its content has another digest")
            contents.append(content)
        return contents

    def _json(self, layer: Layer, content: bytes, what: str, kind: Any) -> Any:
        try:
            with json_errors(StoreError):
                return msgspec.json.decode(content, type=kind)
        except StoreError as error:
            raise self._damaged(what, layer, str(error)) from error

    def _damaged(self, what: str, layer: Layer, reason: str) -> StoreError:
        path = self.root / "blobs" / layer.digest.file_name
        return StoreError(
            f'model "{self.name}" is damaged: {what} {path}: {reason}; pull or create the model again'
        )
