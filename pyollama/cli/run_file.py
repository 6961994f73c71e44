"""``pyollama run`` with a file: the model is loaded into this process."""

from __future__ import annotations

import json
import time

import click

from pyollama.cli.answer import AnswerWriter, show_metrics
from pyollama.cli.replies import Metrics
from pyollama.llm import LLM, Stats

__all__ = ["run_file"]


def run_file(path: str, text: str, *, format_text: str | None, wrap: bool, verbose: bool) -> None:
    """Print the answer to a prompt, or the vector of a text if the file holds an embedding model.

    Args:
        path: A GGUF file.
        text: The prompt; empty: only load.
        format_text: ``"json"`` or a JSON schema.
        wrap: Wrap words at a terminal.
        verbose: Print timings.
    """
    begin = time.perf_counter_ns()
    with LLM(path) as llm:
        loaded = time.perf_counter_ns() - begin
        if not llm.model.generates:
            _print_vector(llm, text)
        elif text:
            stats = _print_answer(llm, text, format_text, wrap)
            if verbose and stats is not None:
                show_metrics(_metrics(stats, loaded, time.perf_counter_ns() - begin))


def _print_vector(llm: LLM, text: str) -> None:
    if not text:
        raise click.UsageError(
            'embedding models require input text. Usage: pyollama run <model> "your text here"'
        )
    click.echo(json.dumps(llm.embed(text)[0].tolist(), separators=(",", ":")))


def _print_answer(llm: LLM, text: str, format_text: str | None, wrap: bool) -> Stats | None:
    """Print the answer; None when it was interrupted, which is no error."""
    writer = AnswerWriter(wrap=wrap)
    try:
        with llm.generate(text, stream=True, format=format_text) as stream:
            for chunk in stream:
                writer.write(chunk.text)
    except KeyboardInterrupt:
        click.echo()
        return None
    click.echo("\n")
    return stream.result.stats


def _metrics(stats: Stats, load: int, total: int) -> Metrics:
    """The same counts and times as a server's."""
    return Metrics(
        total_duration=total,
        load_duration=load,
        prompt_eval_count=stats.prompt_tokens,
        prompt_eval_duration=round(stats.prompt_seconds * 1e9),
        eval_count=stats.generated_tokens,
        eval_duration=round(stats.generate_seconds * 1e9),
    )
