"""The layers that a create request sets itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pyollama.create.request import CreateRequest
from pyollama.errors import InvalidRequest
from pyollama.store import MediaType, StoredModel
from pyollama.store.go_json import OrderedObject, encode_json
from pyollama.store.stored_model import MAX_JSON, MAX_TEXT

__all__ = ["NewLayer", "new_layers"]


class NewLayer(msgspec.Struct, frozen=True):
    """A layer before it is a blob: what it is, and its content."""

    media_type: MediaType
    content: bytes


def new_layers(request: CreateRequest, base: StoredModel | None) -> list[NewLayer]:
    """The layers that ``request`` sets, in the order of the manifest.

    Those of the base that hold the same are replaced, except for licenses, to which the new ones are added.

    Args:
        request: That was checked.
        base: The model to begin with.

    Raises:
        InvalidRequest: One would be so large that the model could not be read again.
        StoreError: The parameters or licenses of the base cannot be read.
    """
    return list(_layers(request, base))


def _layers(request: CreateRequest, base: StoredModel | None) -> Iterator[NewLayer]:
    if request.system:
        yield _layer(MediaType.SYSTEM, "system", request.system.encode(), MAX_TEXT)
    taken = sum(layer.size for layer in base.manifest.of(MediaType.LICENSE)) if base else 0
    for text in request.licenses:
        layer = _layer(MediaType.LICENSE, "license", text.encode(), MAX_TEXT - taken)
        taken += len(layer.content)
        yield layer
    if request.options:
        merged = {**(base.parameters if base else {}), **request.options}
        yield _layer(MediaType.PARAMS, "parameters", _json("parameters", merged), MAX_JSON)
    if request.history:
        messages = [OrderedObject(role=message.role, content=message.content) for message in request.history]
        yield _layer(MediaType.MESSAGES, "messages", _json("messages", messages), MAX_TEXT)


def _json(field: str, value: Any) -> bytes:
    try:
        return encode_json(value)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f'"{field}" cannot be stored: {error}') from error


def _layer(kind: MediaType, field: str, content: bytes, limit: int) -> NewLayer:
    """A layer that can be read again: who reads it has the same limit."""
    if len(content) > limit:
        raise InvalidRequest(f'"{field}" has {len(content)} bytes, at most {limit} can be stored')
    return NewLayer(kind, content)
