"""An answer on the terminal while it is generated."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import closing

import click
import msgspec

from pyollama.cli.replies import ChatReply, GenerateReply, Metrics
from pyollama.cli.spinner import Spinner
from pyollama.cli.wrap import WordWrapper
from pyollama.settings import format_duration

__all__ = ["Answer", "AnswerWriter", "show_answer", "show_metrics"]

USUAL_WIDTH = 80
GREY, BOLD, RESET = "\x1b[38;5;245m", "\x1b[1m", "\x1b[0m"


class Answer(msgspec.Struct, frozen=True):
    """What was shown.

    Args:
        text: The answer.
        thinking: What the model thought before it.
        metrics: Counts and times; None if the server ended the answer without them.
    """

    text: str
    thinking: str
    metrics: Metrics | None


class AnswerWriter:
    """Writes the pieces of an answer to the standard output, each at once.

    Args:
        wrap: Break lines between words, where the output is a terminal.
    """

    def __init__(self, *, wrap: bool) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._wraps = wrap and self.is_terminal
        self._wrapper = WordWrapper()

    def write(self, text: str) -> None:
        """Write a piece."""
        if self._wraps:
            text = self._wrapper.wrap(text, _terminal_width())
        self.write_unwrapped(text)

    def write_unwrapped(self, text: str) -> None:
        """Write control codes and what stands on lines of its own."""
        # One write, so that a reader sees each piece at once.
        sys.stdout.write(text)
        sys.stdout.flush()

    def start_again(self) -> None:
        """Forget the line so far, because the output is at the beginning of a new one."""
        self._wrapper = WordWrapper()


def show_answer(
    replies: Generator[GenerateReply, None, None] | Generator[ChatReply, None, None], *, wrap: bool
) -> Answer:
    """Show an answer as it comes, behind a spinner until it begins.

    However this ends, the request has ended too.

    Args:
        replies: The server's stream.
        wrap: As for `AnswerWriter`.
    """
    writer = AnswerWriter(wrap=wrap)
    text: list[str] = []
    thinking: list[str] = []
    metrics: Metrics | None = None
    with closing(replies), Spinner() as spinner:
        for reply in replies:
            if reply.text or reply.thoughts:
                spinner.stop()
            if reply.thoughts:
                if not thinking:
                    _begin_thinking(writer)
                thinking.append(reply.thoughts)
                writer.write(reply.thoughts)
            if reply.text:
                if thinking and not text:
                    _end_thinking(writer, "".join(thinking))
                text.append(reply.text)
                writer.write(reply.text)
            if reply.done:
                metrics = reply
    return Answer("".join(text), "".join(thinking), metrics)


def show_metrics(metrics: Metrics) -> None:
    """Show counts and times on the error output; those that are 0 are left out."""

    def line(label: str, value: str) -> None:
        click.echo(f"{label + ':':22}{value}", err=True)

    if metrics.total_duration:
        line("total duration", format_duration(metrics.total_duration))
    if metrics.load_duration:
        line("load duration", format_duration(metrics.load_duration))
    for label, count, nanoseconds in (
        ("prompt eval", metrics.prompt_eval_count, metrics.prompt_eval_duration),
        ("eval", metrics.eval_count, metrics.eval_duration),
    ):
        if count:
            line(f"{label} count", f"{count} token(s)")
        if nanoseconds > 0:
            line(f"{label} duration", format_duration(nanoseconds))
            line(f"{label} rate", f"{count / nanoseconds * 1e9:.2f} tokens/s")


def _begin_thinking(writer: AnswerWriter) -> None:
    text = "Thinking...\n"
    writer.write_unwrapped(f"{GREY}{BOLD}{text}{RESET}{GREY}" if writer.is_terminal else text)


def _end_thinking(writer: AnswerWriter, thinking: str) -> None:
    if not thinking.endswith("\n"):
        writer.write_unwrapped("\n")
    text = "...done thinking.\n\n"
    writer.write_unwrapped(f"{GREY}{BOLD}{text}{RESET}" if writer.is_terminal else text)
    writer.start_again()


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or USUAL_WIDTH
    except (OSError, ValueError):  # no terminal, or none that knows its size
        return USUAL_WIDTH
