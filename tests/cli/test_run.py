"""``pyollama run`` as a program: its output, its errors, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyollama

RUN = [sys.executable, "-P", "-m", "pyollama", "run"]
LIMIT = 120
SKY = "Why is the sky blue?"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the source folder and from the user's models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "models"))


def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    settings = {"stdin": subprocess.DEVNULL, "text": True, **settings}
    if "input" in settings:
        del settings["stdin"]
    return subprocess.run([*RUN, *arguments], capture_output=True, timeout=LIMIT, **settings)


def test_answer() -> None:
    """Catches an answer that is cut, or other output beside it."""
    done = run("tiny", SKY)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search("scatter|light", done.stdout)
    assert done.stdout.endswith(".\n\n")
    assert "<|im_" not in done.stdout


def test_words_of_a_prompt() -> None:
    """Catches words that need quotes to belong together: the prompt's length tells that all came in."""
    counts = []
    for words in (["My", "name", "is", "Anna."], ["My name is Anna."]):
        done = run("tiny", "--verbose", *words)
        assert "Anna" in done.stdout
        counts.append(re.search(r"prompt eval count: +(\d+) token", done.stderr)[1])
    with pyollama.LLM("tiny", options={"vocab_only": True}) as llm:
        tokens = llm.tokenize("<|im_start|>user\nMy name is Anna.<|im_end|>\n<|im_start|>assistant\n")
    assert counts == [str(len(tokens))] * 2


def test_standard_input() -> None:
    """Catches input that is ignored, or put behind the prompt."""
    done = run("tiny", input=SKY)
    assert re.search("scatter|light", done.stdout)
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


def test_without_standard_input() -> None:
    """Catches a program that needs a standard input to be open, as under some supervisors it is not."""
    command = " ".join([*RUN, "tiny", "'What is 7 plus 5?'", "<&-"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12" in done.stdout


def test_terminal_without_a_prompt() -> None:
    """Catches a program that waits for ever at a terminal, instead of saying what it needs."""
    terminal, other_end = pty.openpty()
    try:
        done = run("tiny", stdin=other_end)
    finally:
        os.close(terminal)
        os.close(other_end)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: run needs a prompt")


def test_format() -> None:
    """Catches a format that does not reach the library."""
    done = run("tiny", "--format", "json", "Name three colors. Respond using JSON.")
    assert isinstance(json.loads(done.stdout), dict)
    schema = json.dumps({"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2})
    done = run("tiny", "Hi", "--format", schema)
    assert set(json.loads(done.stdout)) <= {1, 2}
    done = run("tiny", "Hi", "--format", "xml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: format must be \"json\" or a JSON schema, got 'xml'\n"


def test_verbose() -> None:
    """Catches timings among the answer, or that are missing."""
    done = run("tiny", "--verbose", SKY)
    assert done.returncode == 0
    assert "duration" not in done.stdout
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
    assert re.search(r"^eval rate: +\d+\.\d\d tokens/s$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no-such-model", 'model "no-such-model:latest" not found'),
        ("a b", "invalid model name 'a b'"),
        ("./none.gguf", "none.gguf: no such file"),
        ("/dev/null", "/dev/null: it is not a regular file"),
    ],
)
def test_missing_model(model: str, message: str) -> None:
    """Catches a traceback, or a 0, for a mistake of the user."""
    done = run(model, "Hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_prompt_that_is_too_long() -> None:
    """Catches an error of the library that is not caught."""
    done = run("tiny", input="word " * 3_000)
    assert done.returncode == 1
    assert re.fullmatch(r"Error: the prompt has 3\d\d\d tokens, the context holds 2048.*\n", done.stderr)
    done = run("tiny", os.fsdecode(b"\xff\xfe"))
    assert done.returncode == 1
    assert re.fullmatch("Error: .*not valid Unicode.*\n", done.stderr)


def test_broken_pipe() -> None:
    """Catches complaints when the reader has seen enough."""
    command = " ".join([*RUN, "tiny", "'Tell me a story about a fox.'", "|", "head", "-c", "1"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=LIMIT)
    assert len(done.stdout) == 1
    assert done.stderr == ""


def test_terminal_that_lacks_characters() -> None:
    """Catches an answer that breaks off at a character which the terminal cannot show."""
    schema = json.dumps({"const": "é漢"})
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("tiny", "Hi", "--format", schema, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, '"??"\n\n', "")


def test_interrupt() -> None:
    """Catches a traceback after Ctrl-C: stopping an answer is no error."""
    prompt = "Tell me a story. " * 100
    with subprocess.Popen(
        [*RUN, "tiny", prompt, "--format", json.dumps({"type": "string", "minLength": 1_900})],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.read(1) == b'"', "the answer has begun"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (0, b"")
    assert output.endswith(b"\n")
