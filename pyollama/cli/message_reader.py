"""The user's side of a conversation."""

from __future__ import annotations

from collections.abc import Iterator

import click

__all__ = ["MessageReader"]

PROMPT, NEXT_PROMPT = ">>> ", "... "
FENCE = '"""'
HELP = """\
Available Commands:
  /bye            Exit
  /?, /help       Help for a command

Use \"\"\" to begin a multi-line message.
"""


class MessageReader:
    """Reads messages from the terminal, one line each or several between triple quotes, and does commands.

    It ends at Ctrl-D and at ``/bye``.

    Example::

        for message in MessageReader():
            print("you said", message)
    """

    def __init__(self) -> None:
        try:
            import readline  # noqa: F401  input() then edits lines and recalls them
        except ImportError:  # a Python without it
            pass

    def __iter__(self) -> Iterator[str]:
        while True:
            try:
                text = self._message()
            except EOFError:
                click.echo()
                return
            except KeyboardInterrupt:
                click.echo("\nUse Ctrl + d or /bye to exit.")
                continue
            except UnicodeError as error:
                click.echo(f"error: the line is not text: {error}", err=True)
                continue
            if text.startswith(("/bye", "/exit")):
                return
            if text.startswith(("/?", "/help")):
                click.echo(HELP, err=True)
            elif text.startswith("/"):
                click.echo(f"Unknown command '{text.split()[0]}'. Type /? for help")
            elif text.strip():
                yield text

    def _message(self) -> str:
        line = _line(PROMPT)
        if not line.startswith(FENCE):
            return line
        lines = [line.removeprefix(FENCE)]
        while not lines[-1].endswith(FENCE):
            lines.append(_line(NEXT_PROMPT))
        lines[-1] = lines[-1].removesuffix(FENCE)
        return "\n".join(lines)


def _line(prompt: str) -> str:
    line = input(prompt)
    line.encode()  # bytes that are no characters come in as lone surrogates
    return line
