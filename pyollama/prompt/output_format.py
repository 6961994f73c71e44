"""The ``format`` of a request as a grammar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from pyollama.errors import GrammarError, InvalidRequest

__all__ = ["Constraint", "Format", "grammar_of"]

Format: TypeAlias = str | Mapping[str, Any] | type | None


class Constraint(msgspec.Struct, frozen=True):
    """A grammar that the output follows.

    Args:
        grammar: GBNF; empty: none.
        warnings: What of a schema the grammar cannot enforce.
    """

    grammar: str = ""
    warnings: tuple[str, ...] = ()


def grammar_of(format: Format, *, strict: bool = False) -> Constraint:
    """Turn a ``format`` into a grammar.

    Args:
        format: None or ``""``: free text. ``"json"``: any JSON object. A mapping, or JSON text: a JSON schema. A
            class with ``model_json_schema()``, such as a pydantic model: its schema.
        strict: Refuse a schema with something that a grammar cannot enforce.

    Raises:
        InvalidRequest: It is none of these.
        GrammarError: The schema cannot be converted, or only in part and ``strict`` is set.

    Example::

        grammar_of({"type": "boolean"}).grammar
    """
    if format is None or format == "":
        return Constraint()
    from pyollama.native import chat

    if format == "json":
        return Constraint(chat.JSON_GRAMMAR)
    grammar, warnings = chat.grammar_from_json_schema(_schema(format))
    if strict and warnings:
        raise GrammarError(f"the schema cannot be enforced whole, and strict is set: {'; '.join(warnings)}")
    return Constraint(grammar, tuple(warnings))


def _schema(format: Any) -> bytes | str:
    if isinstance(format, str):
        if format.lstrip().startswith("{"):
            return format
        raise InvalidRequest(f'format must be "json" or a JSON schema, got {format!r:.60}')
    if isinstance(format, type) and hasattr(format, "model_json_schema"):
        format = format.model_json_schema()
    if not isinstance(format, Mapping):
        raise InvalidRequest(f'format must be "json" or a JSON schema, got {type(format).__name__}')
    try:
        return msgspec.json.encode(format)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the schema in format cannot be written as JSON: {error}") from None
