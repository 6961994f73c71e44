"""What happens when a runner, a client or the server goes away."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from .client import ask, post, read_until
from .live import LiveServer, wait_until

ENDLESS = {"ignore_eos": True, "num_predict": 2**31 - 1, "temperature": 0}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with LiveServer(tmp_path) as server:
        yield server


class Stream:
    """An answer that goes on until something ends it, read in a thread."""

    def __init__(self, server: LiveServer, model: str = "tiny") -> None:
        self.lines: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        body = {"model": model, "prompt": "Tell me a story.", "options": ENDLESS}
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self._connection.request("POST", "/api/generate", json.dumps(body))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        wait_until(lambda: bool(self.lines))

    def _read(self) -> None:
        try:
            response = self._connection.getresponse()
            while line := response.readline():
                self.lines.append(json.loads(line))
        except (OSError, http.client.HTTPException) as error:
            self.failure = error

    def wait(self) -> dict[str, Any]:
        """The last line, once the server has ended the answer."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "the stream does not end"
        return self.lines[-1]


def create(server: LiveServer, name: str, path: Path) -> None:
    data = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert ask(server.port, "POST", f"/api/blobs/{digest}", data).status == 201
    reply = server.ask("/api/create", {"model": name, "files": {"model.gguf": digest}, "stream": False})
    assert reply.json == {"status": "success"}


def test_a_killed_runner(server: LiveServer, tiny_in_32_bits: Path) -> None:
    """Catches a crash that reaches other models, a stream that hangs, a model that is not loaded again."""
    create(server, "other", tiny_in_32_bits)
    victim = Stream(server)
    (runner,) = server.runners()
    bystander = Stream(server, "other")
    runner.kill()
    last = victim.wait()
    assert set(last) == {"error"}
    assert "model runner has unexpectedly stopped" in last["error"]
    assert "SIGKILL" in last["error"]
    assert all("error" not in line for line in victim.lines[:-1])
    so_far = len(bystander.lines)
    wait_until(lambda: len(bystander.lines) > so_far + 5)
    assert "12" in server.generate("What is 7 plus 5?")["response"]
    assert len(server.runners()) == 2


def test_a_crash_says_what_the_runner_said(server: LiveServer) -> None:
    """Catches an error without the last words of the process that crashed."""
    victim = Stream(server)
    (runner,) = server.runners()
    runner.send_signal(signal.SIGSEGV)  # Python's fault handler prints where it was
    error = victim.wait()["error"]
    assert "SIGSEGV" in error
    assert "Segmentation fault" in error


def test_a_runner_killed_while_it_loads(server: LiveServer) -> None:
    """Catches clients that wait for a load that will never end."""
    answers: list[int] = []

    def asking() -> None:
        answers.append(server.ask("/api/generate", {"model": "tiny", "prompt": "Hi", "stream": False}).status)

    thread = threading.Thread(target=asking)
    thread.start()
    wait_until(lambda: bool(server.runners()))
    for runner in server.runners():
        runner.kill()
    thread.join(30)
    assert answers in ([500], [200])  # 200: it was quicker
    assert server.generate("Hi")["done"]


def test_a_killed_server(server: LiveServer) -> None:
    """Catches runners that stay behind, holding memory."""
    stream = Stream(server)
    runners = server.runners()
    assert runners
    server.process.kill()
    server.process.wait(10)
    _, alive = psutil.wait_procs(runners, timeout=5)
    assert not alive
    stream.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ended_server(server: LiveServer, number: int) -> None:
    """Catches a shutdown that waits for ever for a stream, cuts it off without a word, or leaves a runner."""
    stream = Stream(server)
    runners = server.runners()
    begin = time.monotonic()
    server.process.send_signal(number)
    last = stream.wait()
    assert server.process.wait(20) == 0
    assert time.monotonic() - begin < 15
    assert "error" in last or last["done"], last
    _, alive = psutil.wait_procs(runners, timeout=2)
    assert not alive


def test_a_second_ctrl_c(server: LiveServer) -> None:
    """Catches a server that cannot be ended at once."""
    Stream(server)
    runners = server.runners()
    server.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    begin = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    server.process.wait(10)
    assert time.monotonic() - begin < 2
    _, alive = psutil.wait_procs(runners, timeout=5)
    assert not alive


def first_line(port: int, body: dict[str, Any]) -> tuple[socket.socket, bytes]:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(post("/api/generate", body))
    return connection, read_until(connection, b"\n{")


@pytest.mark.parametrize("when", ["decode", "prefill", "whole"])
def test_a_client_that_goes_away(tmp_path: Path, when: str) -> None:
    """Catches an engine that works on for nobody: with one place only, the next client would wait for it."""
    with LiveServer(tmp_path, {"OLLAMA_NUM_PARALLEL": "1"}) as server:
        usual = min(timed(server) for _ in range(3))
        body: dict[str, Any] = {"model": "tiny", "prompt": "Tell me a story.", "options": ENDLESS}
        delays = []
        for attempt in range(5):
            if when == "prefill":
                body |= {"prompt": f"{attempt} " + "word " * 1900, "raw": True}
                body["options"] = {**ENDLESS, "num_batch": 16}
            if when == "whole":
                body["stream"] = False
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            connection.sendall(post("/api/generate", body))
            if when == "decode":
                read_until(connection, b"\n{")
            else:
                time.sleep(0.05)
            connection.close()
            delays.append(timed(server) - usual)
        assert min(delays) < 0.1, delays
        assert max(delays) < 3, delays


def timed(server: LiveServer) -> float:
    begin = time.monotonic()
    assert server.generate("Hi", options={"num_predict": 1})["done"]
    return time.monotonic() - begin


def test_a_slow_reader(server: LiveServer) -> None:
    """Catches memory that grows with what clients do not read, and a model that stays busy because of them."""
    process = psutil.Process(server.process.pid)
    assert server.generate("Hi")["done"]
    before = process.memory_info().rss
    body = {
        "model": "tiny",
        "prompt": "Tell me a story.",
        "options": ENDLESS,
        "logprobs": True,
        "top_logprobs": 20,
    }
    slow = []
    for _ in range(2):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(post("/api/generate", body))
        slow.append(connection)
    assert timed(server) < 5
    assert server.ask("/api/generate", {"model": "tiny", "keep_alive": 0}).status == 200
    # They are ended, as nobody reads what they say; then the model is free and goes.
    wait_until(lambda: not server.names())
    assert process.memory_info().rss - before < 200 << 20
    for connection in slow:
        connection.close()


def test_the_server_holds_no_native_code(server: LiveServer) -> None:
    """Catches llama.cpp in the process that must survive it."""
    assert server.generate("Hi")["done"]
    if not Path("/proc/self/maps").exists():
        pytest.skip("the system does not tell what a process has loaded")
    assert "libpyollama" not in Path(f"/proc/{server.process.pid}/maps").read_text()
    (runner,) = server.runners()
    assert "libpyollama" in Path(f"/proc/{runner.pid}/maps").read_text()


def test_a_runner_that_ends_as_its_parent_does(server: LiveServer) -> None:
    """Catches a runner that holds on although its socket is open: what counts is its parent."""
    assert server.generate("Hi")["done"]
    (runner,) = server.runners()
    os.kill(runner.pid, signal.SIGSTOP)  # it can read nothing
    server.process.kill()
    _, alive = psutil.wait_procs([runner], timeout=5)
    assert not alive
