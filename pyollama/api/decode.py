"""The body of a request, as clients of the API may write it."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from pyollama.errors import InvalidRequest

__all__ = ["decode", "read_object"]

T = TypeVar("T")

_object = msgspec.json.Decoder(dict[str, Any]).decode


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_any = json.JSONDecoder(parse_constant=_no_constant)


def decode(body: bytes, kind: type[T]) -> T:
    """Read a request into its type.

    Names match in any case, the last of equal ones counts, null is the same as a missing key, unknown keys are
    ignored, and so is what follows the first JSON value.

    Args:
        body: The body, whatever its content type says.
        kind: A msgspec struct whose keys are in lower case.

    Raises:
        InvalidRequest: It is empty, not JSON, not an object, or a value has the wrong type.
    """
    try:
        return msgspec.convert(read_object(body), kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the request is not as it should be: {error}") from error


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body, its keys in lower case, without those that are null.

    Raises:
        InvalidRequest: It is empty, not JSON, or not an object.
    """
    if not body.strip():
        raise InvalidRequest("missing request body")
    try:
        found = _object(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the request must be a JSON object: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = _first_object(body)
    except RecursionError as error:
        raise InvalidRequest("the request is nested too deeply") from error
    _check_unicode(body, found)
    return {name.lower(): value for name, value in found.items() if value is not None}


def _check_unicode(body: bytes, found: dict[str, Any]) -> None:
    """Refuse halves of surrogate pairs, which JSON can write and no text can have."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return
    try:
        msgspec.json.encode(found)
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            "the request has a text that is not valid Unicode: an unpaired surrogate"
        ) from error


def _first_object(body: bytes) -> dict[str, Any]:
    """The first JSON value of a body that has more, or an error that says what is wrong."""
    try:
        found, _ = _any.raw_decode(body.decode("utf-8").lstrip())
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the request is not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"the request is not valid JSON: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("the request is nested too deeply") from error
    except ValueError as error:  # a number with too many digits
        raise InvalidRequest(f"the request is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidRequest(f"the request must be a JSON object, got {type(found).__name__}")
    return found
