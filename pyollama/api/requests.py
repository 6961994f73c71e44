"""The requests for text: generate and chat."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from pyollama.errors import InvalidRequest, Unsupported
from pyollama.prompt import Message

__all__ = ["ChatRequest", "GenerateRequest"]

MOST_TOP_LOGPROBS = 20
THINK_LEVELS = ("high", "medium", "low", "max")
# Parts of a message that this version cannot express: refused, as an answer that ignores them would be wrong.
NOT_YET_IN_MESSAGES = ("images", "tool_calls", "tool_name", "tool_call_id", "thinking")


class _InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What both have in common.

    Args:
        model: Name of the model.
        stream: Answer line by line.
        format: ``"json"``, a JSON schema, or nothing.
        options: Options by name.
        keep_alive: How long the model stays loaded afterwards.
        think: Not known in this version, except for ``false``.
        truncate: Shorten what does not fit the context.
        shift: Drop the older half of a full context and go on.
        logprobs: Report log-probabilities.
        top_logprobs: How many alternatives to report with each token.
        debug_render_only: Not known in this version.
    """

    model: str = ""
    stream: bool = True
    format: Any = None
    options: dict[str, Any] = {}
    keep_alive: Any = None
    think: Any = None
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: int = 0
    debug_render_only: bool = msgspec.field(name="_debug_render_only", default=False)

    def check(self) -> None:
        """Check what comes before the model is looked for."""
        if not 0 <= self.top_logprobs <= MOST_TOP_LOGPROBS:
            raise InvalidRequest("top_logprobs must be between 0 and 20")

    def check_think(self) -> None:
        """Refuse thinking, which this version cannot tell from the answer.

        Raises:
            InvalidRequest: The value means nothing, or the model would have to think.
        """
        if self.think is None or self.think is False:
            return
        if isinstance(self.think, str) and self.think not in THINK_LEVELS:
            raise InvalidRequest(
                f'invalid think value: "{self.think:.60}" (must be "high", "medium", "low", "max", true, or false)'
            )
        if not isinstance(self.think, (str, bool)):
            raise InvalidRequest(
                'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'
            )
        raise InvalidRequest(f'"{self.model}" does not support thinking')

    def check_debug(self) -> None:
        """Refuse what this version cannot show."""
        if self.debug_render_only:
            raise Unsupported('"_debug_render_only" is not supported by this version')

    @property
    def wanted_logprobs(self) -> int | None:
        """None, or how many alternatives to report."""
        return self.top_logprobs if self.logprobs else None

    @property
    def format_text(self) -> str:
        """Empty, ``json``, or the text of a schema.

        Raises:
            InvalidRequest: It is something else.
        """
        if self.format is None or self.format == "":
            return ""
        if self.format == "json":
            return "json"
        text = msgspec.json.encode(self.format).decode()
        if not isinstance(self.format, dict):
            quoted = msgspec.json.encode(text).decode()
            raise InvalidRequest(f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')
        return text


class GenerateRequest(_InferenceRequest, frozen=True, kw_only=True):
    """``POST /api/generate``.

    Args:
        prompt: The text; empty: only load or unload.
        suffix: Not known in this version.
        system: Replaces the model's system message.
        template: Not known in this version.
        context: Tokens of an earlier answer to go on from.
        raw: Give the prompt to the model as it is.
        images: Not known in this version.
    """

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: tuple[Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)], ...] = ()
    raw: bool = False
    images: tuple[Any, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it only loads or unloads the model."""
        return not self.prompt

    def check_parts(self, full_name: str) -> None:
        """Refuse what contradicts itself, and what this version cannot do.

        Args:
            full_name: Of the model, with every part.
        """
        if self.raw and (self.template or self.system or self.context):
            raise InvalidRequest("raw mode does not support template, system, or context")
        self.check_think()
        if self.suffix:
            raise InvalidRequest(f"{full_name} does not support insert")
        if self.images:
            raise InvalidRequest(f"{full_name} does not support vision")
        if self.template:
            raise Unsupported('"template" of a request is not supported by this version')
        self.check_debug()


class ChatRequest(_InferenceRequest, frozen=True, kw_only=True):
    """``POST /api/chat``.

    Args:
        messages: The conversation; empty: only load or unload.
        tools: Not known in this version.
        template: Not known in this version.
    """

    messages: tuple[dict[str, Any], ...] = ()
    tools: Any = None
    template: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it only loads or unloads the model."""
        return not self.messages

    def check_parts(self, full_name: str) -> None:
        """As `GenerateRequest.check_parts`."""
        self.check_think()
        if self.tools:
            raise InvalidRequest(f"{full_name} does not support tools")
        if self.template:
            raise Unsupported('"template" of a request is not supported by this version')
        self.check_debug()

    @property
    def conversation(self) -> list[Message]:
        """The messages.

        Raises:
            InvalidRequest: One is not as it should be.
            Unsupported: One has a part that this version cannot express.
        """
        return [_message(index, given) for index, given in enumerate(self.messages)]


def _message(index: int, given: dict[str, Any]) -> Message:
    found = {name.lower(): value for name, value in given.items() if value is not None}
    for name in NOT_YET_IN_MESSAGES:
        if found.get(name):
            raise Unsupported(f'"{name}" of a message is not supported by this version')
    role, content = found.get("role", ""), found.get("content", "")
    if not isinstance(role, str) or not isinstance(content, str):
        raise InvalidRequest(f"message {index}: role and content must be texts")
    return Message.read({"role": role.lower(), "content": content})
