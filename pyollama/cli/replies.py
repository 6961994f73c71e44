"""What the commands send to the server and what they read of its answers."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

__all__ = [
    "ChatReply",
    "ChatRequest",
    "GenerateReply",
    "GenerateRequest",
    "LoadedModel",
    "LoadedModels",
    "Metrics",
    "Model",
    "Models",
    "Reply",
    "ReplyMessage",
    "VersionReply",
]

_NO_TIME = datetime(1, 1, 1, tzinfo=UTC)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Any answer. ``error`` is empty unless the server failed after it had begun to answer."""

    error: str = ""


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """For ``/api/generate``. ``format`` is JSON text, as it was given; ``keep_alive`` -1 or a duration."""

    model: str
    prompt: str = ""
    format: msgspec.Raw | None = None
    keep_alive: str | int | None = None
    stream: bool = True


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """For ``/api/chat``; see `GenerateRequest`."""

    model: str
    messages: list[dict[str, str]]
    format: msgspec.Raw | None = None
    keep_alive: str | int | None = None


class Metrics(Reply, frozen=True, kw_only=True):
    """What the last line of a generation tells; durations in nanoseconds."""

    done: bool = False
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class GenerateReply(Metrics, frozen=True, kw_only=True):
    """A line of ``/api/generate``."""

    response: str = ""
    thinking: str = ""

    @property
    def text(self) -> str:
        """The next piece of the answer."""
        return self.response

    @property
    def thoughts(self) -> str:
        """The next piece of what the model thinks before it."""
        return self.thinking


class ReplyMessage(msgspec.Struct, frozen=True):
    """A piece of a message."""

    content: str = ""
    thinking: str = ""


class ChatReply(Metrics, frozen=True, kw_only=True):
    """A line of ``/api/chat``."""

    message: ReplyMessage = ReplyMessage()

    @property
    def text(self) -> str:
        """The next piece of the answer."""
        return self.message.content

    @property
    def thoughts(self) -> str:
        """The next piece of what the model thinks before it."""
        return self.message.thinking


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model of ``/api/tags``. ``size`` in bytes; ``remote_model`` is set if it runs elsewhere."""

    name: str
    digest: str = ""
    size: int = 0
    modified_at: datetime = _NO_TIME
    remote_model: str = ""


class Models(Reply, frozen=True, kw_only=True):
    """The answer of ``/api/tags``."""

    models: list[Model] | None = None


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of ``/api/ps``. Sizes in bytes, the context in tokens."""

    name: str
    digest: str = ""
    size: int = 0
    size_vram: int = 0
    context_length: int = 0
    expires_at: datetime = _NO_TIME


class LoadedModels(Reply, frozen=True, kw_only=True):
    """The answer of ``/api/ps``."""

    models: list[LoadedModel] | None = None


class VersionReply(Reply, frozen=True, kw_only=True):
    """The answer of ``/api/version``. ``pyollama`` is empty if the server is another program."""

    version: str = ""
    pyollama: str = ""
