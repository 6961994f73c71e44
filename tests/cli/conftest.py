"""A server that plays back answers, and a working directory away from the source."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .played import PlayedServer, played_server


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Away from the source folder, from the user's models and from the user's server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "models"))
    with socket.socket() as taken:
        # Bound but not listening: connections are refused, and nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{taken.getsockname()[1]}")
        yield


@pytest.fixture
def server(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedServer]:
    """A server at OLLAMA_HOST."""
    with played_server() as played:
        monkeypatch.setenv("OLLAMA_HOST", played.url)
        yield played
