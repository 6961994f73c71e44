"""``pyollama serve``: the server."""

from __future__ import annotations

import os

import click

__all__ = ["serve"]


@click.command()
@click.option("--announce-fd", type=click.IntRange(min=0), metavar="N", hidden=True)
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
def serve(announce_fd: int | None, until_stdin_closes: bool) -> None:
    """Start the server (alias: start).

    It listens at OLLAMA_HOST, by default 127.0.0.1:11434, and ends by Ctrl-C or SIGTERM. The other variables
    that it reads: OLLAMA_CONTEXT_LENGTH, OLLAMA_DEBUG, OLLAMA_KEEP_ALIVE, OLLAMA_LOAD_TIMEOUT,
    OLLAMA_MAX_LOADED_MODELS, OLLAMA_MAX_QUEUE, OLLAMA_MODELS, OLLAMA_NOPRUNE, OLLAMA_NUM_PARALLEL,
    OLLAMA_ORIGINS.
    """
    import logging

    import msgspec

    from pyollama.cli.log import log_to_stderr
    from pyollama.settings import Settings

    log_to_stderr()
    settings = Settings.from_environment()
    log = logging.getLogger("pyollama")
    if settings.debug:
        log.setLevel(logging.DEBUG)
    values = msgspec.structs.asdict(settings)
    log.info("settings: %s", " ".join(f"{name}={value}" for name, value in values.items()))

    from pyollama.server import serve as run_server

    def announce(url: str) -> None:
        if announce_fd is not None:
            with open(announce_fd, "w", encoding="ascii") as pipe:
                pipe.write(f"{url}\n")

    if announce_fd is not None:
        # Runners must not hold the pipe open.
        os.set_inheritable(announce_fd, False)
    run_server(settings, on_ready=announce, stop_fd=0 if until_stdin_closes else None)
