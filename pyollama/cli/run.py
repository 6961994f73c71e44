"""``pyollama run``: a model answers on the terminal."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pyollama.llm import LLM, Stats

__all__ = ["run"]


@click.command()
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option("--format", "format_text", metavar="STRING", help='Response format: "json" or a JSON schema.')
@click.option("--verbose", is_flag=True, help="Show timings after the answer.")
def run(model: str, prompt: tuple[str, ...], format_text: str | None, verbose: bool) -> None:
    """Run a model.

    Prints the answer to PROMPT as it is generated. What comes on the standard input is put before it.
    """
    words = list(prompt)
    if piped := _piped():
        words = [piped, *words]
    elif not words and sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError(f'run needs a prompt, such as: pyollama run {model} "Why is the sky blue?"')
    from pyollama.llm import LLM

    begin = time.perf_counter()
    with LLM(model) as llm:
        loaded = time.perf_counter() - begin
        text = " ".join(words)
        if not llm.model.generates:
            _print_vector(llm, text)
        elif text:
            stats = _print_answer(llm, text, format_text)
            if verbose and stats is not None:
                _print_timings(stats, loaded, time.perf_counter() - begin)


def _piped() -> str:
    """What another program writes to the standard input; empty at a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="strict")  # some locales let anything pass
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise click.ClickException(f"the standard input is not text: {error}") from None


def _print_vector(llm: LLM, text: str) -> None:
    if not text:
        raise click.UsageError(
            'embedding models require input text. Usage: pyollama run <model> "your text here"'
        )
    click.echo(json.dumps(llm.embed(text)[0].tolist(), separators=(",", ":")))


def _print_answer(llm: LLM, text: str, format_text: str | None) -> Stats | None:
    """Print the answer; None when it was interrupted, which is no error."""
    try:
        with llm.generate(text, stream=True, format=format_text) as stream:
            for chunk in stream:
                # One write, so that a reader sees each piece at once.
                sys.stdout.write(chunk.text)
                sys.stdout.flush()
    except KeyboardInterrupt:
        click.echo()
        return None
    click.echo("\n")
    return stream.result.stats


def _print_timings(stats: Stats, load_seconds: float, total_seconds: float) -> None:
    def line(label: str, value: str) -> None:
        click.echo(f"{label + ':':22}{value}", err=True)

    line("total duration", f"{total_seconds:.6f}s")
    line("load duration", f"{load_seconds:.6f}s")
    line("prompt eval count", f"{stats.prompt_tokens} token(s)")
    _rate(line, "prompt eval", stats.prompt_tokens - stats.cached_tokens, stats.prompt_seconds)
    line("eval count", f"{stats.generated_tokens} token(s)")
    _rate(line, "eval", stats.generated_tokens, stats.generate_seconds)


def _rate(line: Callable[[str, str], None], label: str, tokens: int, seconds: float) -> None:
    if seconds > 0:
        line(f"{label} duration", f"{seconds:.6f}s")
        line(f"{label} rate", f"{tokens / seconds:.2f} tokens/s")
