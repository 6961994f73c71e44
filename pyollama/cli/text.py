"""Texts from arguments and from the standard input."""

from __future__ import annotations

import io
import sys

import click

__all__ = ["checked_text", "is_terminal", "piped_text"]


def checked_text(text: str, what: str) -> str:
    """The text itself, if it can be sent.

    Args:
        text: What somebody wrote. Bytes that are no characters came in as lone surrogates.
        what: What it is, for the error message.

    Raises:
        click.ClickException: It is not valid Unicode.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise click.ClickException(f"{what} is not valid Unicode at character {error.start}") from None
    return text


def is_terminal() -> bool:
    """Whether the standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def piped_text() -> str:
    """All that another program writes to the standard input; empty at a terminal.

    Raises:
        click.ClickException: It is not text.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="strict")  # some locales let anything pass
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise click.ClickException(f"the standard input is not text: {error}") from None
