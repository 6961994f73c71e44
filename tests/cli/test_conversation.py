"""``pyollama run NAME`` at a terminal: a conversation."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .played import METRICS, METRICS_SHOWN, Pause, PlayedServer, chatted
from .program import Terminal, program, terminal

CHAT, GENERATE = "POST /api/chat", "POST /api/generate"


@pytest.fixture(autouse=True)
def loads(server: PlayedServer) -> None:
    server.answers[GENERATE] = {"model": "m", "response": "", "done": True, "done_reason": "load"}


def echo(body: Any) -> list[Any]:
    return chatted("You said ", body["messages"][-1]["content"], ".")


def ask(shell: Terminal, text: str, answer: str) -> None:
    """Type a line at the next prompt, wait for the answer and the prompt behind it."""
    shell.wait_for(r">>> \Z")
    at = len(shell.output)
    shell.type(f"{text}\n")
    shell.wait_for(f"(?s){answer}.*>>> ", at)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_messages(server: PlayedServer) -> None:
    """Catches a model that does not know what was said before, or is loaded when the user already waits."""
    server.answers[CHAT] = echo
    with terminal("run", "m", "--keepalive", "1m", "--format", "json") as shell:
        ask(shell, "one", r"You said one\.\r\n\r\n")
        ask(shell, "zwei ä", r"You said zwei ä\.\r\n\r\n")
        ask(shell, "  ", "")
        shell.type("/bye\n")
        assert shell.end() == 0
    common = {"model": "m", "keep_alive": "1m0s"}
    assert [route for route, _ in server.requests] == ["HEAD /", GENERATE, CHAT, CHAT]
    assert server.bodies(GENERATE) == [common]
    assert server.bodies(CHAT) == [
        {**common, "format": "json", "messages": [user("one")]},
        {
            **common,
            "format": "json",
            "messages": [user("one"), assistant("You said one."), user("zwei ä")],
        },
    ]


def test_several_lines(server: PlayedServer) -> None:
    """Catches lines between triple quotes that are sent one by one."""
    server.answers[CHAT] = echo
    with terminal("run", "m") as shell:
        shell.wait_for(">>> ")
        for line in ('"""one', "", "two"):
            at = len(shell.output)
            shell.type(f"{line}\n")
            shell.wait_for(r"\.\.\. ", at)
        shell.type('three"""\n')
        ask(shell, '"""four"""', r"You said four\.")
        shell.type("/exit\n")
        assert shell.end() == 0
    sent = [body["messages"][-1]["content"] for body in server.bodies(CHAT)]
    assert sent == ["one\n\ntwo\nthree", "four"]


def test_commands(server: PlayedServer) -> None:
    """Catches a command that is sent as a message."""
    with terminal("run", "m") as shell:
        ask(shell, "/set parameter x", r"Unknown command '/set'\. Type /\? for help")
        ask(shell, "/", r"Unknown command '/'\. Type /\? for help")
        ask(shell, "/?", "Available Commands:\r\n.*/bye +Exit")
        ask(shell, "/help", "Available Commands:\r\n.*/bye +Exit")
        shell.type("/bye\n")
        assert shell.end() == 0
    assert server.bodies(CHAT) == []


def test_end_of_file(server: PlayedServer) -> None:
    """Catches Ctrl-D that is not the end, or leaves the shell's prompt on the same line."""
    with terminal("run", "m") as shell:
        shell.wait_for(">>> ")
        shell.type("\x04")
        assert shell.end() == 0
    assert shell.output.endswith("\r\n")


def test_interrupt_at_the_prompt(server: PlayedServer) -> None:
    """Catches a conversation that is lost by a key, and half a line that is kept."""
    server.answers[CHAT] = echo
    with terminal("run", "m") as shell:
        shell.wait_for(">>> ")
        shell.type("half a li\x03")
        shell.wait_for(r"\r\nUse Ctrl \+ d or /bye to exit\.\r\n>>> ")
        ask(shell, "one", r"You said one\.")
        shell.type("/bye\n")
        assert shell.end() == 0


def test_interrupt_of_an_answer(server: PlayedServer) -> None:
    """Catches an end of the conversation, a server that goes on, and half an answer that is remembered."""
    server.answers[CHAT] = [*chatted("It was a ")[:1], Pause()]
    with terminal("run", "m") as shell:
        shell.wait_for(">>> ")
        shell.type("one\n")
        shell.wait_for("It was a ")
        shell.type("\x03")
        shell.wait_for(r"It was a (?:\^C)?>>> ")
        assert server.client_has_gone.wait(10)
        server.answers[CHAT] = echo
        ask(shell, "two", r"You said two\.")
        shell.type("/bye\n")
        assert shell.end() == 0
    assert server.bodies(CHAT)[1]["messages"] == [user("one"), user("two")]


def test_thinking_is_remembered(server: PlayedServer) -> None:
    """Catches thoughts that are lost, or mixed into the answer."""
    thought = {"message": {"role": "assistant", "content": "", "thinking": "Hm."}, "done": False}
    server.answers[CHAT] = [thought, *chatted("Yes.")]
    with terminal("run", "m", "--nowordwrap") as shell:
        ask(shell, "one", r"Thinking\.\.\.\r\n.*Hm\.\r\n.*\.\.\.done thinking\.\r\n\r\n.*Yes\.")
        ask(shell, "two", r"Yes\.")
        shell.type("/bye\n")
        assert shell.end() == 0
    assert server.bodies(CHAT)[1]["messages"][1] == {**assistant("Yes."), "thinking": "Hm."}


def test_verbose(server: PlayedServer) -> None:
    """Catches timings that are missing after an answer."""
    server.answers[CHAT] = chatted("Yes.", **METRICS)
    with terminal("run", "m", "--verbose") as shell:
        ask(shell, "one", re.escape("Yes.\r\n\r\n" + METRICS_SHOWN.replace("\n", "\r\n")))
        shell.type("/bye\n")
        assert shell.end() == 0


def test_errors(server: PlayedServer) -> None:
    """Catches a conversation without a model, and an error that looks like an answer."""
    server.answers[CHAT] = [*chatted("It")[:1], {"error": "the model stopped"}]
    with terminal("run", "m") as shell:
        shell.wait_for(">>> ")
        shell.type("one\n")
        assert shell.end() == 1
    assert shell.output.endswith("Error: the model stopped\r\n")
    server.answers[GENERATE] = (404, {"error": "model 'm' not found"})
    with terminal("run", "m") as shell:
        assert shell.end() == 1
    assert shell.output.endswith("Error: 404 Not Found: model 'm' not found\r\n")
    assert ">>>" not in shell.output


def test_no_terminal(server: PlayedServer) -> None:
    """Catches a conversation with a program, which would wait for ever."""
    done = program("run", "m")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.bodies(GENERATE) == [{"model": "m"}]
