"""The commands with a real server between them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from pyollama.cli.private_server import private_server
from pyollama.settings import ServerAddress

from .program import LIMIT, PROGRAM, program


@pytest.fixture
def address(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerAddress]:
    """Where a server listens."""
    with private_server() as running:
        monkeypatch.setenv("OLLAMA_HOST", str(running))
        yield running


def test_models_come_and_go(address: ServerAddress) -> None:
    """Catches commands and a server that do not mean the same."""
    assert program("list").stdout.splitlines()[1].startswith("tiny:latest    ")
    assert len(program("ps").stdout.splitlines()) == 1
    done = program("run", "tiny", "Hi", "--keepalive", "10m", "--format", '{"const": 12}')
    assert (done.returncode, done.stdout, done.stderr) == (0, "12\n\n", "")
    shown = program("ps").stdout.splitlines()[1]
    assert shown.startswith("tiny:latest    ")
    assert "9 minutes from now" in shown
    done = program("stop", "tiny")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(program("ps").stdout.splitlines()) == 1
    done = program("stop", "no-such-model")
    assert done.stderr == 'Error: couldn\'t find model "no-such-model" to stop\n'


def test_address_in_use(address: ServerAddress) -> None:
    """Catches a traceback, or a second server that takes half of the requests."""
    done = program("serve")
    assert (done.returncode, done.stdout) == (1, "")
    assert "address already in use" in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("Error: listen tcp 127.0.0.1:")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_end_of_serve(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an error where the user just ended the server."""
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:0")
    with subprocess.Popen([*PROGRAM, "serve"], stderr=subprocess.PIPE, text=True) as process:
        while "istening on" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(LIMIT) == 0
    assert "Traceback" not in rest
