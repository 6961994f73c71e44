"""One message of a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from pyollama.errors import InvalidRequest

__all__ = ["Message", "MessageLike", "read_messages"]

ROLES = ("system", "user", "assistant", "tool")
# What the API knows and this version cannot do yet: refused, because an answer that ignores them would be wrong.
NOT_YET = ("images", "tool_calls", "thinking")


class Message(msgspec.Struct, frozen=True):
    """Who said what.

    Args:
        role: ``"system"``, ``"user"``, ``"assistant"`` or ``"tool"``.
        content: The text.

    Example::

        Message("user", "Why is the sky blue?")
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str

    @classmethod
    def read(cls, given: Message | Mapping[str, Any]) -> Message:
        """A message as a client writes it: an object with ``role`` and ``content``.

        Raises:
            InvalidRequest: Something is missing, has the wrong type or is not supported.
        """
        if isinstance(given, Message):
            role: Any = given.role
            content: Any = given.content
        elif isinstance(given, Mapping):
            unsupported = [name for name in NOT_YET if given.get(name)]
            if unsupported:
                raise InvalidRequest(f'"{unsupported[0]}" of a message is not supported by this version')
            role, content = given.get("role"), given.get("content")
        else:
            raise InvalidRequest(
                f'a message must be an object with "role" and "content", got {type(given).__name__}'
            )
        if role not in ROLES:
            raise InvalidRequest(f"the role of a message must be one of {', '.join(ROLES)}, got {role!r:.60}")
        if not isinstance(content, str):
            raise InvalidRequest(f"the content of a message must be a str, got {type(content).__name__}")
        return cls(role, content)


MessageLike: TypeAlias = Message | Mapping[str, Any]


def read_messages(given: Iterable[MessageLike]) -> list[Message]:
    """The messages of a conversation.

    Raises:
        InvalidRequest: One of them is wrong, or there is none.
    """
    if isinstance(given, (str, bytes, Mapping, Message)) or not isinstance(given, Iterable):
        raise InvalidRequest(f"messages must be a list of messages, got {type(given).__name__}")
    messages = [Message.read(item) for item in given]
    if not messages:
        raise InvalidRequest("messages is empty: there is nothing to answer")
    return messages
