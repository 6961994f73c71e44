"""``pyollama list``, ``ps`` and ``stop``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .played import PlayedServer
from .program import program

DIGEST = "0123456789abcdef" * 4


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


def model(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "model": name, "digest": DIGEST, "details": {"families": None}, **fields}


def test_list(server: PlayedServer) -> None:
    """Catches a column that is wrong, a prefix that is ignored, and the second name."""
    server.answers["GET /api/tags"] = {
        "models": [
            model("tiny:latest", size=4_100_000, modified_at=ago(hours=3)),
            model("Big/m:7b", size=3_826_793_677, modified_at="2020-01-01T00:00:00.123456789-07:00"),
            model("far", size=300, modified_at="0001-01-01T00:00:00Z", remote_model="x"),
        ]
    }
    done = program("list")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "NAME           ID              SIZE      MODIFIED    " + " " * (len(lines[0]) - 53)
    assert lines[1].startswith("tiny:latest    0123456789ab    4.1 MB    3 hours ago")
    assert lines[2].startswith("Big/m:7b       0123456789ab    3.8 GB    ")
    assert lines[3].startswith("far            0123456789ab    -         Never")
    done = program("ls", "bIG", "other")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["NAME", "Big/m:7b"]
    assert [route for route, _ in server.requests] == ["HEAD /", "GET /api/tags"] * 2


def test_empty_lists(server: PlayedServer) -> None:
    """Catches an error where there is nothing to show."""
    for answer in ({"models": []}, {"models": None}):
        server.answers["GET /api/tags"] = server.answers["GET /api/ps"] = answer
        assert program("list").stdout == "NAME    ID    SIZE    MODIFIED \n"
        assert program("ps").stdout == "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL \n"


def test_ps(server: PlayedServer) -> None:
    """Catches a column that is wrong."""
    common = {"size": 8_000_000_000, "context_length": 4096}
    server.answers["GET /api/ps"] = {
        "models": [
            model("a", **common, size_vram=6_000_000_000, expires_at=ago(minutes=-4.5)),
            model("b", **common, size_vram=0, expires_at=ago(days=-365 * 292)),
            model("c", **common, size_vram=8_000_000_000, expires_at=ago(seconds=1)),
        ]
    }
    done = program("ps")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "NAME    ID              SIZE    PROCESSOR          CONTEXT    UNTIL              \n"
        "a       0123456789ab    8 GB    25%/75% CPU/GPU    4096       4 minutes from now    \n"
        "b       0123456789ab    8 GB    100% CPU           4096       Forever               \n"
        "c       0123456789ab    8 GB    100% GPU           4096       Stopping...           \n"
    )
    assert len(program("ps", "A").stdout.splitlines()) == 1
    assert len(program("ps", "a").stdout.splitlines()) == 2


def test_stop(server: PlayedServer) -> None:
    """Catches a model that is loaded in order to be stopped."""
    server.answers["POST /api/generate"] = {
        "model": "m",
        "response": "",
        "done": True,
        "done_reason": "unload",
    }
    done = program("stop", "m")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.bodies("POST /api/generate") == [{"model": "m", "keep_alive": 0, "stream": False}]


def test_stop_errors(server: PlayedServer) -> None:
    """Catches an unknown model that looks stopped."""
    server.answers["POST /api/generate"] = (404, {"error": "model 'm' not found"})
    done = program("stop", "m")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", 'Error: couldn\'t find model "m" to stop\n')
    server.answers["POST /api/generate"] = (400, {"error": "invalid model name"})
    done = program("stop", "m")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Error: invalid model name\n")


@pytest.mark.parametrize("arguments", [["list"], ["ps"], ["stop", "m"]])
def test_no_server(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a command that starts a server of its own, or complains in the words of the system."""
    done = program(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: could not connect to pyollama server, run 'pyollama serve' to start it\n"
    monkeypatch.setenv("OLLAMA_HOST", "ftp://x")
    done = program(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: the scheme of the address 'ftp://x' must be http or https\n"


def test_broken_answers(server: PlayedServer) -> None:
    """Catches a traceback."""
    server.answers["GET /api/tags"] = {"models": [{"name": 1}]}
    done = program("list")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the server's answer cannot be read: Expected `str`, got `int`")
    server.answers["HEAD /"] = (403, b"")
    done = program("list")
    assert (done.returncode, done.stderr) == (1, "Error: 403 Forbidden\n")
