"""``pyollama list``, ``ps`` and ``stop``: the models of a server."""

from __future__ import annotations

import os
from datetime import UTC
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datetime import datetime

    from pyollama.cli.client import Client

__all__ = ["list_models", "list_running", "stop"]

ID_DIGITS = 12


@click.command("list")
@click.argument("prefix", nargs=-1)
def list_models(prefix: tuple[str, ...]) -> None:
    """List models (alias: ls).

    With PREFIX only those whose names begin with it.
    """
    from datetime import datetime

    from pyollama.cli.formats import relative_time, size_text
    from pyollama.cli.replies import Models
    from pyollama.cli.table import table

    now = datetime.now(UTC)
    begin = prefix[0].lower() if prefix else ""
    rows = [
        (
            model.name,
            model.digest[:ID_DIGITS],
            "-" if model.remote_model else size_text(model.size),
            relative_time(model.modified_at, now),
        )
        for model in _server().get("/api/tags", Models).models or ()
        if model.name.lower().startswith(begin)
    ]
    click.echo(table(["NAME", "ID", "SIZE", "MODIFIED"], rows), nl=False)


@click.command("ps")
@click.argument("prefix", nargs=-1)
def list_running(prefix: tuple[str, ...]) -> None:
    """List models that are loaded.

    With PREFIX only those whose names begin with it.
    """
    from datetime import datetime

    from pyollama.cli.formats import processor_text, size_text
    from pyollama.cli.replies import LoadedModels
    from pyollama.cli.table import table

    now = datetime.now(UTC)
    rows = [
        (
            model.name,
            model.digest[:ID_DIGITS],
            size_text(model.size),
            processor_text(model.size, model.size_vram),
            str(model.context_length),
            _until(model.expires_at, now),
        )
        for model in _server().get("/api/ps", LoadedModels).models or ()
        if model.name.startswith(prefix[:1] or "")
    ]
    click.echo(table(["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"], rows), nl=False)


@click.command()
@click.argument("model")
def stop(model: str) -> None:
    """Stop a running model."""
    from pyollama.cli.client import ServerError
    from pyollama.cli.replies import GenerateReply, GenerateRequest
    from pyollama.cli.spinner import Spinner
    from pyollama.cli.text import checked_text

    request = GenerateRequest(model=checked_text(model, "the model name"), keep_alive=0, stream=False)
    client = _server()
    try:
        with Spinner():
            client.post("/api/generate", request, GenerateReply)
    except ServerError as error:
        if "not found" not in error.message:
            raise
        raise click.ClickException(f'couldn\'t find model "{model}" to stop') from None


def _server() -> Client:
    """The server, which must be there."""
    from pyollama.cli.client import Client
    from pyollama.settings import ServerAddress

    client = Client(ServerAddress.parse(os.environ.get("OLLAMA_HOST", "")))
    client.check()
    return client


def _until(expires: datetime, now: datetime) -> str:
    from pyollama.cli.formats import relative_time

    return "Stopping..." if expires <= now else relative_time(expires, now)
