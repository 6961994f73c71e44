"""``pyollama run NAME PROMPT`` against a server that plays back answers."""

from __future__ import annotations

import re
import signal
import subprocess
from typing import Any

import pytest

from .played import METRICS, METRICS_SHOWN, Cut, Pause, PlayedServer, spoken
from .program import LIMIT, PROGRAM, program, terminal

GENERATE = "POST /api/generate"


def test_answer(server: PlayedServer) -> None:
    """Catches other output beside the answer, and fields that nobody gave."""
    server.answers[GENERATE] = spoken("The sky ", "is 漢 blue.", **METRICS)
    done = program("run", "m", "Why", "is the sky", "blue?")
    assert (done.returncode, done.stdout, done.stderr) == (0, "The sky is 漢 blue.\n\n", "")
    assert server.requests == [("HEAD /", None), (GENERATE, {"model": "m", "prompt": "Why is the sky blue?"})]


def test_long_lines_in_a_pipe(server: PlayedServer) -> None:
    """Catches control codes and line breaks of ours in an output that a program reads."""
    text = "word " * 100
    server.answers[GENERATE] = spoken(*text)
    assert program("run", "m", "p").stdout == text + "\n\n"


@pytest.mark.parametrize(
    ("given", "words", "prompt"),
    [
        ("text\n", ["Summarize", "this"], "text\n Summarize this"),
        ("text\n", [], "text\n"),
        ("", ["p"], "p"),
    ],
)
def test_standard_input(server: PlayedServer, given: str, words: list[str], prompt: str) -> None:
    """Catches input that is ignored, changed or put behind the prompt."""
    server.answers[GENERATE] = spoken("a")
    assert program("run", "m", *words, input=given).stdout == "a\n\n"
    assert server.bodies(GENERATE) == [{"model": "m", "prompt": prompt}]


def test_nothing_to_say(server: PlayedServer) -> None:
    """Catches an empty prompt that is not sent, as it loads the model, or that prints something."""
    server.answers[GENERATE] = {"model": "m", "response": "", "done": True, "done_reason": "load"}
    done = program("run", "m", "--keepalive", "1h")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.bodies(GENERATE) == [{"model": "m", "keep_alive": "1h0m0s"}]


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["--format", "json"], {"format": "json"}),
        (["--format", '{"type": "object"}'], {"format": {"type": "object"}}),
        (["--format="], {}),
        (["--keepalive", "90s"], {"keep_alive": "1m30s"}),
        (["--keepalive=-5m"], {"keep_alive": -1}),
        (["--keepalive", "0"], {"keep_alive": "0s"}),
        (["--nowordwrap", "--verbose"], {}),
    ],
)
def test_options(server: PlayedServer, arguments: list[str], fields: dict[str, Any]) -> None:
    """Catches an option that does not reach the server, before or after the prompt."""
    server.answers[GENERATE] = spoken("a")
    for line in (["run", *arguments, "m", "p"], ["run", "m", "p", *arguments]):
        assert program(*line).returncode == 0
    assert server.bodies(GENERATE) == [{"model": "m", "prompt": "p", **fields}] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m", "p", "--format", "xml"], "format must be \"json\" or a JSON schema, got 'xml'"),
        (["m", "p", "--format", "[" * 100_000], 'format must be "json" or a JSON schema, got \'[[[['),
        (["m", "p", "--keepalive", "5"], 'time: missing unit in duration "5"'),
        (["m", "p", "--keepalive", "abc"], 'time: invalid duration "abc"'),
        (["m", "p", "--keepalive"], "Option '--keepalive' requires an argument."),
        (["m", "p", "--think"], "No such option"),
        (["m", b"\xff\xfe"], "the prompt is not valid Unicode"),
        ([b"\xff", "p"], "the model name is not valid Unicode"),
        ([], "Missing argument 'MODEL'"),
    ],
)
def test_wrong_options(server: PlayedServer, arguments: list[Any], message: str) -> None:
    """Catches a mistake that reaches the server, or a traceback."""
    done = program("run", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1
    assert server.requests == []


def test_verbose(server: PlayedServer) -> None:
    """Catches timings among the answer, numbers in other notation, and lines for what is not known."""
    server.answers[GENERATE] = spoken("a", **METRICS)
    done = program("run", "m", "p", "--verbose")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n\n", METRICS_SHOWN)
    server.answers[GENERATE] = spoken("a", total_duration=5_000_000, eval_count=3)
    done = program("run", "m", "p", "--verbose")
    assert done.stderr == "total duration:       5ms\neval count:           3 token(s)\n"


def test_thinking(server: PlayedServer) -> None:
    """Catches thoughts that look like the answer."""
    thoughts = [{"response": "", "thinking": piece, "done": False} for piece in ("Let me", " see.")]
    server.answers[GENERATE] = [*thoughts, *spoken("Yes.")]
    plain = "Thinking...\nLet me see.\n...done thinking.\n\nYes.\n\n"
    assert program("run", "m", "p").stdout == plain
    with terminal("run", "m", "p", "--nowordwrap") as shell:
        assert shell.end() == 0
        shown = shell.output.replace("\r\n", "\n")
    assert "\x1b[38;5;245m\x1b[1mThinking...\n\x1b[0m\x1b[38;5;245mLet me see.\n" in shown
    assert shown.endswith("\x1b[38;5;245m\x1b[1m...done thinking.\n\n\x1b[0mYes.\n\n")


@pytest.mark.parametrize(
    ("answer", "output", "message"),
    [
        ((404, {"error": "model 'm' not found"}), "", "404 Not Found: model 'm' not found"),
        ((503, {"error": "server busy"}), "", "503 Service Unavailable: server busy"),
        ([*spoken("a ")[:1], {"error": "the model stopped"}], "a ", "the model stopped"),
        ([*spoken("a ")[:1], b"{broken\n"], "a ", "the server's answer cannot be read: "),
        ([*spoken("a ")[:1], Cut()], "a ", "the server at http://127.0.0.1:"),
    ],
)
def test_errors(server: PlayedServer, answer: Any, output: str, message: str) -> None:
    """Catches a 0 for half an answer, and a traceback."""
    server.answers[GENERATE] = answer
    done = program("run", "m", "p")
    assert (done.returncode, done.stdout) == (1, output)
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1


def test_interrupt(server: PlayedServer) -> None:
    """Catches a server that goes on for nobody after Ctrl-C, which itself is no error."""
    server.answers[GENERATE] = [*spoken("It was")[:1], Pause()]
    with subprocess.Popen(
        [*PROGRAM, "run", "m", "p", "--verbose"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.read(6) == b"It was"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output, errors) == (0, b"", b"")
    assert server.client_has_gone.wait(10)


def test_interrupt_before_the_first_text(server: PlayedServer) -> None:
    """Catches a terminal whose cursor stays hidden, and a spinner that stays there."""
    server.answers[GENERATE] = [Pause()]
    with terminal("run", "m", "p") as shell:
        shell.wait_for("[⠋⠙].*[⠙⠹]")
        shell.type("\x03")
        assert shell.end() == 0
    assert server.client_has_gone.wait(10)
    assert shell.output.endswith("\x1b[2K\x1b[1G\x1b[?25h")


def test_broken_pipe(server: PlayedServer) -> None:
    """Catches complaints when the reader has seen enough, and a server that goes on."""
    server.answers[GENERATE] = [*spoken("a", "b")[:2], *[{"response": "x" * 10_000}] * 100, Pause()]
    command = " ".join([*PROGRAM, "run", "m", "p", "|", "head", "-c", "1"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=LIMIT)
    assert (done.stdout, done.stderr) == ("a", "")
    assert server.client_has_gone.wait(10)


def test_terminal(server: PlayedServer) -> None:
    """Catches a spinner that stays, and lines that are cut in a word."""
    server.answers[GENERATE] = spoken("The quick ", "brown fox jum", "ps.")
    with terminal("run", "m", "p", columns=25) as shell:
        assert shell.end() == 0
    assert re.fullmatch(
        r"(?:\x1b\[\?2026h\x1b\[\?25l\x1b\[1G[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] \x1b\[K\x1b\[\?25h\x1b\[\?2026l)+"
        r"\x1b\[\?25l\x1b\[2K\x1b\[1G\x1b\[\?25h"
        r"The quick brown fox \x1b\[K\r\njumps\.\r\n\r\n",
        shell.output,
    ), shell.output
    with terminal("run", "m", "p", "--nowordwrap", columns=25) as shell:
        assert shell.end() == 0
    assert shell.output.endswith("\x1b[?25hThe quick brown fox jumps.\r\n\r\n")
