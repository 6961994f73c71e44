"""From the name in a request to a model of the store."""

from __future__ import annotations

from pyollama.api.errors import ApiError
from pyollama.errors import InvalidModelName, InvalidRequest, ModelNotFound
from pyollama.store import ModelName, Store, StoredModel

__all__ = ["find_model"]


def find_model(store: Store, text: str) -> StoredModel:
    """The model that a request names; reads the directory.

    Args:
        store: Where to look.
        text: As the client sent it.

    Raises:
        InvalidRequest: It is no name.
        ApiError: There is no such model, or it would run elsewhere.
        StoreError: The model is damaged.
    """
    name = text.strip()
    stem, _, suffix = name.lower().rpartition(":")
    is_cloud = bool(stem) and (suffix == "cloud" or (suffix.endswith("-cloud") and "/" not in suffix))
    if stem and suffix == "local":
        name = name[: len(stem)]
        if name.lower().endswith((":cloud", "-cloud")):
            raise InvalidRequest(f'use either :local or :cloud, not both: "{text}"')
    elif is_cloud:
        if stem.endswith(":local"):
            raise InvalidRequest(f'use either :local or :cloud, not both: "{text}"')
        raise ApiError(403, "ollama cloud is disabled: remote model is unavailable")
    try:
        parsed = ModelName.parse(name)
    except InvalidModelName as error:
        raise InvalidRequest(str(error)) from error
    try:
        return store.find(parsed)
    except ModelNotFound as error:
        raise ApiError(404, f"model '{text}' not found") from error
