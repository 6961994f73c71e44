"""The manifest of a model: which blobs it is made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from pyollama.errors import InvalidManifest
from pyollama.store.digest import Digest
from pyollama.store.go_json import OrderedObject, encode_json
from pyollama.store.reading import json_errors

__all__ = ["MAX_MANIFEST", "Layer", "Manifest", "MediaType"]

# A model with one layer for each tensor has tens of thousands of layers of about 250 bytes.
MAX_MANIFEST = 16 << 20
MAX_SIZE = 2**63 - 1


class MediaType(StrEnum):
    """What a layer holds. A manifest may have others; they are carried along and mean nothing here."""

    MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    CONFIG = "application/vnd.docker.container.image.v1+json"
    MODEL = "application/vnd.ollama.image.model"
    ADAPTER = "application/vnd.ollama.image.adapter"
    PROJECTOR = "application/vnd.ollama.image.projector"
    DRAFT = "application/vnd.ollama.image.draft"
    TEMPLATE = "application/vnd.ollama.image.template"
    # The older name of TEMPLATE.
    PROMPT = "application/vnd.ollama.image.prompt"
    SYSTEM = "application/vnd.ollama.image.system"
    PARAMS = "application/vnd.ollama.image.params"
    MESSAGES = "application/vnd.ollama.image.messages"
    LICENSE = "application/vnd.ollama.image.license"
    # Not written for years; ignored.
    EMBED = "application/vnd.ollama.image.embed"
    TENSOR = "application/vnd.ollama.image.tensor"
    JSON = "application/vnd.ollama.image.json"


class Layer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One blob of a model.

    Args:
        media_type: What it holds, a `MediaType` as a rule.
        digest: Of its content.
        size: Of its content, in bytes.
        origin: The model that it was taken over from, or the file that it was made of; for people only.
        name: Which part of a tensor model it is. It comes from outside and must never become a path.

    Raises:
        InvalidManifest: The size is negative or absurd.
    """

    media_type: str = msgspec.field(name="mediaType")
    digest: Digest
    size: int
    origin: str = msgspec.field(name="from", default="")
    name: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise InvalidManifest(f"the layer {self.digest} says that it has {self.size} bytes")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The blobs of a model.

    Args:
        schema_version: Always 2.
        media_type: Of the manifest itself.
        config: The blob with the `ModelConfig`; None where the model has none.
        layers: In the order of the file. The same blob may occur more than once.

    Raises:
        InvalidManifest: It is of another version, or has neither config nor layers.

    Example::

        manifest = Manifest.decode(path.read_bytes())
        manifest.last(MediaType.MODEL).digest
    """

    schema_version: int = msgspec.field(name="schemaVersion", default=2)
    media_type: str = msgspec.field(name="mediaType", default=MediaType.MANIFEST)
    config: Layer | None = None
    layers: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        if self.schema_version != 2:
            raise InvalidManifest(f"its schemaVersion is {self.schema_version}, only 2 is supported")
        if self.config is None and not self.layers:
            raise InvalidManifest("it has no config and no layers")

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Read the JSON of a manifest.

        Unknown keys are ignored. A config without a digest counts as none.

        Args:
            data: The file, or the body of a registry's answer.

        Raises:
            InvalidManifest: It is too large, is not valid JSON, or a layer lacks something or has a digest
                that is not one.
        """
        if len(data) > MAX_MANIFEST:
            raise InvalidManifest(f"it has {len(data)} bytes, at most {MAX_MANIFEST} are allowed")
        if not data:
            raise InvalidManifest("it is empty")
        with json_errors(InvalidManifest):
            return _manifest(data)

    def encode(self) -> bytes:
        """The JSON of the manifest, byte for byte as Ollama writes it.

        Example::

            Manifest.decode(manifest.encode()) == manifest   # True
        """
        # A model without a config has one whose digest is empty.
        nothing = OrderedObject(mediaType="", digest="", size=0)
        return encode_json(
            OrderedObject(
                schemaVersion=self.schema_version,
                mediaType=self.media_type,
                config=_layer(self.config) if self.config else nothing,
                layers=[_layer(layer) for layer in self.layers],
            )
        )

    @property
    def size(self) -> int:
        """Bytes of all layers and of the config; a blob that is listed twice counts twice."""
        config = self.config.size if self.config else 0
        return config + sum(layer.size for layer in self.layers)

    def of(self, *media_types: str) -> tuple[Layer, ...]:
        """The layers of these types, in order."""
        return tuple(layer for layer in self.layers if layer.media_type in media_types)

    def last(self, *media_types: str) -> Layer | None:
        """The layer that counts where a model may have one only: the last one. None where there is none."""
        found = self.of(*media_types)
        return found[-1] if found else None


def _layer(layer: Layer) -> OrderedObject:
    found = OrderedObject(mediaType=layer.media_type, digest=layer.digest, size=layer.size)
    found |= {key: text for key, text in (("from", layer.origin), ("name", layer.name)) if text}
    return found


class _WireManifest(msgspec.Struct):
    """A manifest before its config was looked at."""

    schemaVersion: int = 2
    mediaType: str = ""
    config: msgspec.Raw = msgspec.Raw(b"null")
    layers: tuple[Layer, ...] | None = None


class _ConfigDigest(msgspec.Struct):
    digest: str | None = None


def _digest(_: type, value: Any) -> Digest:
    return Digest(value)


def _manifest(data: bytes) -> Manifest:
    wire = msgspec.json.decode(data, type=_WireManifest, dec_hook=_digest)
    # A model without a config has one whose digest is empty.
    probe = msgspec.json.decode(wire.config, type=_ConfigDigest | None)
    config = None
    if probe is not None and probe.digest:
        config = msgspec.json.decode(wire.config, type=Layer, dec_hook=_digest)
    return Manifest(
        schema_version=wire.schemaVersion,
        media_type=wire.mediaType or MediaType.MANIFEST,
        config=config,
        layers=wire.layers or (),
    )
