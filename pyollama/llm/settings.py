"""The keyword arguments that calls have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

from pyollama.engine import Options
from pyollama.prompt import Format

__all__ = ["ChatSettings", "EmbedSettings", "GenerateSettings", "OptionsLike"]

OptionsLike: TypeAlias = Options | Mapping[str, Any] | None


class ChatSettings(TypedDict, total=False):
    """Of `LLM.chat`."""

    options: OptionsLike
    format: Format
    logprobs: int | None


class GenerateSettings(ChatSettings, total=False):
    """Of `LLM.generate`."""

    system: str | None
    raw: bool
    context: Sequence[int]


class EmbedSettings(TypedDict, total=False):
    """Of `LLM.embed`."""

    truncate: bool
    normalize: bool
    dimensions: int | None
