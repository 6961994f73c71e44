"""``pyollama run``: a model answers on the terminal."""

from __future__ import annotations

import os
import re
import sys

import click

from pyollama.cli.text import checked_text, is_terminal, piped_text

__all__ = ["run"]

# As pyollama.llm.source.PATH, whose module loads the whole library: what can only be a file is loaded into
# this process, all else is a name for the server.
PATH = re.compile(r"(?:\.{0,2}/|~|[A-Za-z]:\\|\.{0,2}\\)|.*\.gguf$", re.IGNORECASE | re.DOTALL)


@click.command()
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option("--format", "format_text", metavar="STRING", help='Response format: "json" or a JSON schema.')
@click.option("--keepalive", metavar="DURATION", help="How long the model stays loaded, such as 5m.")
@click.option("--nowordwrap", is_flag=True, help="Don't wrap words to the next line.")
@click.option("--verbose", is_flag=True, help="Show timings after the answer.")
def run(
    model: str,
    prompt: tuple[str, ...],
    format_text: str | None,
    keepalive: str | None,
    nowordwrap: bool,
    verbose: bool,
) -> None:
    """Run a model.

    MODEL is a name, or the path of a GGUF file. Prints the answer to PROMPT as it is generated; what comes on
    the standard input is put before it. At a terminal and without PROMPT it is a conversation.

    A name is for the server at OLLAMA_HOST. If none is running on this machine, one runs as long as this
    command does.
    """
    words = list(prompt)
    if piped := piped_text():
        words = [piped, *words]
    text = checked_text(" ".join(words), "the prompt")
    interactive = is_terminal() and not words
    if PATH.match(model):
        if interactive:
            raise click.UsageError(
                f'run needs a prompt for a file, such as: pyollama run {model} "Why is the sky blue?"'
            )
        if keepalive is not None:
            raise click.UsageError(
                "--keepalive is for a model of the server: a file is loaded for this run only"
            )
        from pyollama.cli.run_file import run_file

        run_file(model, text, format_text=format_text, wrap=not nowordwrap, verbose=verbose)
        return

    from pyollama.cli.private_server import some_server
    from pyollama.cli.run_model import RunOptions, converse, generate

    options = RunOptions.read(
        checked_text(model, "the model name"), format_text, keepalive, wrap=not nowordwrap, verbose=verbose
    )
    with some_server(os.environ.get("OLLAMA_HOST", "")) as client:
        if interactive and sys.stdout.isatty():
            converse(client, options)
        else:
            generate(client, options, text)
