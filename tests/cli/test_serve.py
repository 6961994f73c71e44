"""``pyollama serve``: what the command line adds to the server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

# The command line with a server that only reports what it was called with.
WRAPPER = """
import json, logging, os, sys, types
def serve(settings, on_ready=None, stop_fd=None):
    print(json.dumps({"url": settings.address.url, "stop_fd": stop_fd}), flush=True)
    on_ready("http://127.0.0.1:4321")
    log = logging.getLogger("pyollama")
    log.debug("a detail")
    log.warning('a "word" of\\nwarning')
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("it failed")
fake = types.ModuleType("pyollama.server")
fake.serve = serve
sys.modules["pyollama.server"] = fake
from pyollama.cli import main
main()
"""


def serve(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", WRAPPER, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, **settings
    )


@pytest.mark.parametrize("name", ["serve", "start"])
def test_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches settings that do not reach the server, and a server that ends with an input nobody gave it."""
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:4321")
    done = serve(name)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"url": "http://127.0.0.1:4321", "stop_fd": None}


def test_announcement() -> None:
    """Catches an address that is not told, or a pipe that stays open."""
    reading, writing = os.pipe()
    try:
        done = serve("serve", f"--announce-fd={writing}", "--until-stdin-closes", pass_fds=(writing,))
        os.close(writing)
        with open(reading, closefd=False) as pipe:
            assert pipe.read() == "http://127.0.0.1:4321\n"
    finally:
        os.close(reading)
    assert json.loads(done.stdout)["stop_fd"] == 0


def test_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a log that programs cannot read, on the wrong output, or that says too much or too little."""
    monkeypatch.setenv("OLLAMA_MAX_QUEUE", "many")
    lines = serve("serve").stderr.splitlines()
    pattern = re.compile(
        r'time=\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d level=([A-Z]+) source=(\S+):\d+ msg=(".*")'
    )
    records = [match.groups() for line in lines if (match := pattern.fullmatch(line))]
    assert [(level, source) for level, source, _ in records[:2]] == [
        ("WARNING", "settings"),
        ("INFO", "serve"),
    ]
    assert json.loads(records[0][2]).startswith("OLLAMA_MAX_QUEUE='many' is not used")
    assert "max_queue=512 " in records[1][2]
    assert [json.loads(text) for _, _, text in records[2:]] == ['a "word" of\nwarning', "it failed"]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    monkeypatch.setenv("OLLAMA_DEBUG", "1")
    assert 'msg="a detail"' in serve("serve").stderr


def test_wrong_usage() -> None:
    """Catches arguments that are ignored, and options for programs shown to people."""
    done = serve("serve", "tiny")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Got unexpected extra argument")
    assert "announce" not in serve("serve", "--help").stdout
