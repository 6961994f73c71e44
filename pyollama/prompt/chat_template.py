"""The chat template of a GGUF file (Jinja), rendered by llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pyollama.errors import InvalidRequest
from pyollama.prompt.message import Message

__all__ = ["ChatTemplate", "Rendered"]


class Rendered(msgspec.Struct, frozen=True):
    """What a template made of a conversation.

    Args:
        prompt: The text, to be tokenized with special tokens parsed and added.
        stop: Stop strings that the format of the answer needs.
    """

    prompt: str
    stop: tuple[str, ...] = msgspec.field(default=(), name="additional_stops")


_decode = msgspec.json.Decoder(Rendered).decode


class ChatTemplate:
    """A chat template. Immutable; any number of threads may render with it.

    A template is a program of whoever made the model: it runs in llama.cpp's own interpreter, which can reach
    nothing outside, under limits of time and output.

    Args:
        source: The template (Jinja).
        bos: Text of the token that begins a sequence; empty: none.
        eos: Text of the token that ends one.
        add_bos: Whether the vocabulary adds the first token by itself.
        add_eos: Whether it adds the last one.

    Raises:
        TemplateError: The template cannot be parsed.
    """

    def __init__(
        self, source: str, *, bos: str = "", eos: str = "", add_bos: bool = False, add_eos: bool = False
    ) -> None:
        from pyollama.native import chat

        self.source = source
        self._native = chat.ChatTemplate(source, bos=bos, eos=eos)
        self._flags = {"add_bos": add_bos, "add_eos": add_eos}

    def render(self, messages: Sequence[Message]) -> Rendered:
        """The prompt of a conversation, ending where the assistant's answer begins.

        Raises:
            TemplateError: The template refused the conversation, failed, or ran too long.
            InvalidRequest: A text is not valid Unicode.

        Example::

            template.render([Message("user", "Hi")]).prompt
        """
        # "plain" would be cheaper, but leaves out how some templates want their history, and stop strings.
        request = {"messages": messages, **self._flags}
        try:
            encoded = msgspec.json.encode(request)
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"a message is not valid Unicode: {error.reason}") from None
        return _decode(self._native.render(encoded))
