"""``pyollama run NAME`` with everything real: the program, the server that it starts, and the model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

import pyollama

from .program import LIMIT, PROGRAM, program, terminal

RUN = [*PROGRAM, "run"]
SKY = "Why is the sky blue?"
# An answer that takes a while, whatever the model.
LONG = json.dumps({"type": "string", "minLength": 1_900})


def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run it; afterwards none of its processes is left."""
    with nothing_left():
        return program("run", *arguments, **settings)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Whatever ran in the block took its server and its runners with it."""
    before = ours()
    yield
    deadline = time.monotonic() + 20
    while left := ours() - before:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


def ours() -> set[int]:
    """Processes that have this test's environment."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get("OLLAMA_MODELS") == os.environ["OLLAMA_MODELS"]:
                found.add(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass  # ended a moment ago, or another user's
    return found - {os.getpid()}


def test_answer() -> None:
    """Catches an answer that is cut, or other output beside it, and processes that stay."""
    done = run("tiny", SKY)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search("scatter|light", done.stdout)
    assert done.stdout.endswith(".\n\n")
    assert "<|im_" not in done.stdout


def test_words_of_a_prompt() -> None:
    """Catches words that need quotes to belong together: the prompt's length tells that all came in."""
    done = run("tiny", "--verbose", "My", "name", "is", "Anna.")
    assert "Anna" in done.stdout
    with pyollama.LLM("tiny", options={"vocab_only": True}) as llm:
        tokens = llm.tokenize("<|im_start|>user\nMy name is Anna.<|im_end|>\n<|im_start|>assistant\n")
    assert re.search(r"prompt eval count: +(\d+) token", done.stderr)[1] == str(len(tokens))
    names = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert names == [
        "total duration",
        "load duration",
        "prompt eval count",
        "prompt eval duration",
        "prompt eval rate",
        "eval count",
        "eval duration",
        "eval rate",
    ]


def test_standard_input() -> None:
    """Catches input that is ignored, or put behind the prompt."""
    done = run("tiny", "is the sky blue?", input="Why")
    assert re.search("scatter|light", done.stdout)
    done = run("tiny", input="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_input_that_is_no_text() -> None:
    """Catches a traceback for a picture on the standard input."""
    done = run("tiny", input=b"\xff\xd8\xff\xe0 JFIF", text=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"Error: the standard input is not text")
    assert done.stderr.count(b"\n") == 1


def test_without_standard_files() -> None:
    """Catches a program that needs its standard input or output to be open, as some supervisors leave them not."""
    command = " ".join([*RUN, "tiny", "'What is 7 plus 5?'"])
    for closed in ("<&-", "<&- 2>&-", "<&- >&-"):
        with nothing_left():
            done = subprocess.run(
                ["sh", "-c", f"{command} {closed}"], capture_output=True, text=True, timeout=LIMIT
            )
        assert (done.returncode, done.stderr) == (0, "")
        assert "12" in done.stdout or ">&-" in closed.split()


def test_format() -> None:
    """Catches a format that does not reach the model."""
    schema = json.dumps({"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2})
    done = run("tiny", "Hi", "--format", schema)
    assert set(json.loads(done.stdout)) <= {1, 2}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no-such-model", "404 Not Found: model 'no-such-model' not found"),
        ("a b", "400 Bad Request: invalid model name"),
    ],
)
def test_missing_model(model: str, message: str) -> None:
    """Catches a traceback, or a 0, for a mistake of the user."""
    done = run(model, "Hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1


def test_broken_pipe() -> None:
    """Catches complaints when the reader has seen enough."""
    command = " ".join([*RUN, "tiny", "'Tell me a story about a fox.'", "|", "head", "-c", "1"])
    with nothing_left():
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=LIMIT)
    assert len(done.stdout) == 1
    assert done.stderr == ""


def test_terminal_that_lacks_characters() -> None:
    """Catches an answer that breaks off at a character which the terminal cannot show."""
    schema = json.dumps({"const": "é漢"})
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("tiny", "Hi", "--format", schema, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, '"??"\n\n', "")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_end_by_a_signal(number: int, code: int) -> None:
    """Catches a traceback after Ctrl-C, which is no error, and a server or a runner that stays."""
    with (
        nothing_left(),
        subprocess.Popen(
            [*RUN, "tiny", "Tell me a story. " * 100, "--format", LONG],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdout.read(1) == b'"', "the answer has begun"
        process.send_signal(number)
        _, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (code, b"")


def test_conversation() -> None:
    """Catches a private server that Ctrl-C ends, or that does not outlast the first answer."""
    schema = json.dumps({"type": "string", "minLength": 300, "maxLength": 400})
    with nothing_left(), terminal("run", "tiny", "--format", schema) as shell:
        shell.wait_for(">>> ")
        shell.type(f"{SKY}\n")
        shell.wait_for('"')
        shell.type("\x03")
        shell.wait_for(r"\"(?s:.)*>>> ")
        at = len(shell.output)
        shell.type("What is 7 plus 5?\n")
        shell.wait_for(r'"(?s:.)*"(?s:.)*>>> ', at)
        shell.type("/bye\n")
        assert shell.end() == 0


def test_other_commands_start_nothing() -> None:
    """Catches a server that is started only to tell that nothing runs."""
    with nothing_left():
        done = program("ps")
    assert (done.returncode, done.stdout) == (1, "")
