"""``pyollama run`` with a file: the model runs in the program's own process."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from typing import Any

import pytest

import pyollama
from pyollama.cli.run import PATH
from pyollama.llm import source
from pyollama.store import Store

from .program import LIMIT, PROGRAM, program

RUN = [*PROGRAM, "run"]
TINY = str(Store.default().find("tiny").model_path)
SKY = "Why is the sky blue?"
# A schema of a short answer.
ANY = json.dumps({"const": 12})


def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return program("run", *arguments, **settings)


def test_what_is_a_file() -> None:
    """Catches a command line that takes names for files, or files for names, against the library."""
    assert PATH == source.PATH


def prompt_tokens(*arguments: str, **settings: Any) -> int:
    """How long the prompt was. The answer tells less: a file brings no options, so the model is free to say anything."""
    done = run(TINY, "--verbose", *arguments, "--format", ANY, **settings)
    return int(re.search(r"prompt eval count: +(\d+) token", done.stderr)[1])


def test_answer() -> None:
    """Catches an answer that is cut, or other output beside it."""
    done = run(TINY, SKY)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"(?s).{10,}\n\n", done.stdout)
    assert "<|im_" not in done.stdout


def test_words_of_a_prompt() -> None:
    """Catches words that need quotes to belong together: the prompt's length tells that all came in."""
    with pyollama.LLM(TINY, options={"vocab_only": True}) as llm:
        tokens = llm.tokenize("<|im_start|>user\nMy name is Anna.<|im_end|>\n<|im_start|>assistant\n")
    for words in (["My", "name", "is", "Anna."], ["My name is Anna."]):
        assert prompt_tokens(*words) == len(tokens)


def test_standard_input() -> None:
    """Catches input that is ignored."""
    expected = prompt_tokens(SKY)
    assert prompt_tokens(input=SKY) == expected
    assert prompt_tokens("is the sky blue?", input="Why") == expected
    done = run(TINY, input="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_input_that_is_no_text() -> None:
    """Catches a traceback for a picture on the standard input."""
    done = run(TINY, input=b"\xff\xd8\xff\xe0 JFIF", text=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"Error: the standard input is not text")
    assert done.stderr.count(b"\n") == 1


def test_without_standard_input() -> None:
    """Catches a program that needs a standard input to be open, as under some supervisors it is not."""
    command = " ".join([*RUN, TINY, "Hi", "--format", f"'{ANY}'", "<&-"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "12\n\n", "")


def test_terminal_without_a_prompt() -> None:
    """Catches a program that waits for ever at a terminal, instead of saying what it needs."""
    terminal, other_end = pty.openpty()
    try:
        done = run(TINY, stdin=other_end)
    finally:
        os.close(terminal)
        os.close(other_end)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: run needs a prompt")


def test_format() -> None:
    """Catches a format that does not reach the library."""
    done = run(TINY, "--format", "json", "Name three colors. Respond using JSON.")
    assert done.stdout.lstrip().startswith("{")
    schema = json.dumps({"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2})
    done = run(TINY, "Hi", "--format", schema)
    assert set(json.loads(done.stdout)) <= {1, 2}
    done = run(TINY, "Hi", "--format", "xml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: format must be \"json\" or a JSON schema, got 'xml'\n"


def test_verbose() -> None:
    """Catches timings among the answer, or that are missing."""
    done = run(TINY, "--verbose", "--format", json.dumps({"const": "a few tokens"}), SKY)
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
    done = run(TINY, input="word " * 3_000)
    assert done.returncode == 1
    assert re.fullmatch(r"Error: the prompt has 3\d\d\d tokens, the context holds 2048.*\n", done.stderr)
    done = run(TINY, os.fsdecode(b"\xff\xfe"))
    assert done.returncode == 1
    assert re.fullmatch("Error: .*not valid Unicode.*\n", done.stderr)


def test_keep_alive() -> None:
    """Catches an option that is ignored: nothing keeps the model loaded."""
    done = run(TINY, "--keepalive", "5m", "Hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: --keepalive is for a model of the server")


def test_broken_pipe() -> None:
    """Catches complaints when the reader has seen enough."""
    command = " ".join([*RUN, TINY, "'Tell me a story about a fox.'", "|", "head", "-c", "1"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=LIMIT)
    assert len(done.stdout) == 1
    assert done.stderr == ""


def test_terminal_that_lacks_characters() -> None:
    """Catches an answer that breaks off at a character which the terminal cannot show."""
    schema = json.dumps({"const": "é漢"})
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run(TINY, "Hi", "--format", schema, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, '"??"\n\n', "")


def test_interrupt() -> None:
    """Catches a traceback after Ctrl-C: stopping an answer is no error."""
    prompt = "Tell me a story. " * 100
    with subprocess.Popen(
        [*RUN, TINY, prompt, "--format", json.dumps({"type": "string", "minLength": 1_900})],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.read(1) == b'"', "the answer has begun"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (0, b"")
    assert output.endswith(b"\n")
