"""``pyollama run`` with a name: the server's model answers once, or in a conversation."""

from __future__ import annotations

import click
import msgspec

from pyollama.cli.answer import show_answer, show_metrics
from pyollama.cli.client import Client
from pyollama.cli.message_reader import MessageReader
from pyollama.cli.replies import ChatReply, ChatRequest, GenerateReply, GenerateRequest
from pyollama.cli.spinner import Spinner
from pyollama.errors import InvalidRequest
from pyollama.settings import format_duration, parse_duration

__all__ = ["RunOptions", "converse", "generate"]


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the options of the command say.

    Args:
        model: Name of the model.
        format: JSON text of the format; None if none was given.
        keep_alive: As the server takes it: -1 or a duration; None if it was not given.
        wrap: Wrap words at a terminal.
        verbose: Show timings.
    """

    model: str
    format: msgspec.Raw | None
    keep_alive: str | int | None
    wrap: bool
    verbose: bool

    @classmethod
    def read(
        cls, model: str, format_text: str | None, keep_alive: str | None, *, wrap: bool, verbose: bool
    ) -> RunOptions:
        """Read them.

        Raises:
            InvalidRequest: The format is neither ``json`` nor JSON text, or the duration is none.
        """
        return cls(
            model=model,
            format=_format(format_text),
            keep_alive=_keep_alive(keep_alive),
            wrap=wrap,
            verbose=verbose,
        )


def generate(client: Client, options: RunOptions, prompt: str) -> None:
    """Print the answer to one prompt. Ctrl-C ends it, which is no error.

    Args:
        client: The server.
        options: Of the command.
        prompt: Empty: only load the model.
    """
    request = GenerateRequest(
        model=options.model, prompt=prompt, format=options.format, keep_alive=options.keep_alive
    )
    try:
        answer = show_answer(client.stream("/api/generate", request, GenerateReply), wrap=options.wrap)
    except KeyboardInterrupt:
        return
    if prompt:
        click.echo("\n")
    if options.verbose and answer.metrics is not None:
        show_metrics(answer.metrics)


def converse(client: Client, options: RunOptions) -> None:
    """Load the model, then answer message after message until the user leaves.

    Args:
        client: The server.
        options: Of the command.
    """
    load = GenerateRequest(model=options.model, keep_alive=options.keep_alive)
    with Spinner():
        for _ in client.stream("/api/generate", load, GenerateReply):
            pass
    messages: list[dict[str, str]] = []
    for text in MessageReader():
        messages.append({"role": "user", "content": text})
        request = ChatRequest(
            model=options.model, messages=messages, format=options.format, keep_alive=options.keep_alive
        )
        try:
            answer = show_answer(client.stream("/api/chat", request, ChatReply), wrap=options.wrap)
        except KeyboardInterrupt:
            # What came so far is no answer, but the question stays.
            continue
        click.echo("\n")
        reply = {"role": "assistant", "content": answer.text}
        messages.append({**reply, "thinking": answer.thinking} if answer.thinking else reply)
        if options.verbose and answer.metrics is not None:
            show_metrics(answer.metrics)


def _format(text: str | None) -> msgspec.Raw | None:
    if not text:
        return None
    if text == "json":
        return msgspec.Raw(b'"json"')
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        raise InvalidRequest(f'format must be "json" or a JSON schema, got {text!r:.60}') from None
    # As it stands: the order of its keys is the order of the answer's.
    return msgspec.Raw(text.encode())


def _keep_alive(text: str | None) -> str | int | None:
    if text is None:
        return None
    nanoseconds = parse_duration(text)
    return -1 if nanoseconds < 0 else format_duration(nanoseconds)
