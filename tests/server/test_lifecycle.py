"""A server as a process: how it starts, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from pyollama.server import listening
from pyollama.server.listening import bind_sockets, shown_address

from .client import ask, post, read_all, read_until
from .stand_in import ThreadServer

STAND_IN = Path(__file__).with_name("stand_in.py")
LIMIT = 30


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


HAS_IPV6 = has_ipv6()


def alive_at(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=LIMIT) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"200 OK" in read_all(client)


class Process:
    """A server in a process of its own, around a stand-in."""

    def __init__(self, *arguments: str, code: str = "", **environment: str) -> None:
        what = ["-c", code] if code else [str(STAND_IN), *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-P", *what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OLLAMA_HOST": "127.0.0.1:0", **environment},
            text=True,
        )
        self.url = _pipe(self.process.stdout).readline().strip()
        self.port = int(self.url.rpartition(":")[2] or 0) if self.url else 0

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[str], str]:
        """Wait for it; its exit status, what its service saw, what it wrote on its error output."""
        output, errors = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, output.split(), errors


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def running(*arguments: str, code: str = "", starts: bool = True, **environment: str) -> Iterator[Process]:
    process = Process(*arguments, code=code, **environment)
    try:
        if bool(process.url) != starts:
            pytest.fail(f"the server {'did not start' if starts else 'started'}: {process.end()}")
        yield process
    finally:
        process.process.kill()
        process.process.communicate()


@contextmanager
def request(process: Process, **order: object) -> Iterator[socket.socket]:
    """A request that is being answered."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=LIMIT) as client:
        client.sendall(post("/api/generate", order))
        yield client


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal(number: int) -> None:
    """Catches a server that does not end, complains when it does, or forgets its service."""
    with running() as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.url)
        assert ask(server.port, "GET", "/").status == 200
        begin = time.monotonic()
        server.signal(number)
        status, events, errors = server.end()
        assert time.monotonic() - begin < 2
    assert (status, events) == (0, ["started", "closing", "closed"])
    assert "Traceback" not in errors


def test_log() -> None:
    """Catches a banner of the framework, a line for every request, or no line that says where the server is."""
    with running() as server:
        ask(server.port, "GET", "/")
        ask(server.port, "POST", "/api/generate", {"error": "broken"})
        server.signal(signal.SIGTERM)
        _, _, errors = server.end()
    assert [
        re.sub(r"^[-\d]+ [\d:,]+ ", "", line)
        for line in errors.splitlines()
        if "ROR" in line or "INFO" in line
    ] == [
        f"INFO listening on 127.0.0.1:{server.port} (version 0.33.0)",
        "ERROR POST '/api/generate': 500 broken",
        "INFO ending: running requests have 5 s",
    ]
    assert "ValueError: broken" in errors
    with running(OLLAMA_DEBUG="1") as server:
        ask(server.port, "GET", "/api/tags?secret=1")
        server.signal(signal.SIGTERM)
        _, _, errors = server.end()
    assert re.search(r"DEBUG GET '/api/tags' 200 in 0\.\d{3} s from 127\.0\.0\.1\n", errors)
    assert "secret" not in errors


def test_end_of_file() -> None:
    """Catches a server that outlives the program that started it for itself."""
    with running() as server:
        stdin = _pipe(server.process.stdin)
        stdin.write("not the end\n")
        stdin.flush()
        time.sleep(0.1)
        assert ask(server.port, "GET", "/").status == 200
        stdin.close()
        server.process.stdin = None
        status, events, _ = server.end()
    assert (status, events[-1]) == (0, "closed")


def test_running_requests_may_finish() -> None:
    """Catches an answer that is cut though it needed a moment only, or new requests that keep a server alive."""
    with running() as server, request(server, lines=5, pause=0.15) as client:
        idle = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT)
        read_until(client, b"\n\r\n")
        server.signal(signal.SIGTERM)
        assert read_all(idle) == b""
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            ask(server.port, "GET", "/")
        assert b'"number":4' in read_until(client, b"\r\n0\r\n\r\n")
        assert read_all(client) == b""
        status, events, _ = server.end()
    assert (status, events) == (0, ["started", "asked", "finished", "ended", "closing", "closed"])


def test_long_requests_are_cancelled() -> None:
    """Catches a stream that breaks off without a word, and a request that is not told why it has no answer."""
    with (
        running("--grace", "0.3") as server,
        request(server, lines=9, pause=0.2) as stream,
        request(server, wait=60, stream=False) as other,
        request(server, lines=10**6, size=100_000) as stalled,
    ):
        read_until(stream, b"\n\r\n")
        read_until(stalled, b"HTTP")
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        lines = read_until(stream, b"\r\n0\r\n\r\n").split(b"\r\n")
        assert json.loads(lines[-4]) == {"error": "the server is shutting down"}
        answer = read_all(other)
        assert answer.startswith(b"HTTP/1.1 503")
        assert answer.endswith(b'{"error":"the server is shutting down"}')
        assert b"connection: close" in answer
        status, events, errors = server.end()
        assert time.monotonic() - begin < 3
    assert (status, events[-2:]) == (0, ["closing", "closed"])
    assert events.count("ended") == 2
    assert "WARNING ending: 3 running requests are cancelled" in errors
    assert "Traceback" not in errors


def test_second_signal() -> None:
    """Catches a server that cannot be ended at once."""
    with running("--close", "60") as server, request(server, wait=60):
        server.signal(signal.SIGINT)
        time.sleep(0.2)
        assert server.process.poll() is None
        begin = time.monotonic()
        server.signal(signal.SIGINT)
        assert server.process.wait(LIMIT) == 1
        assert time.monotonic() - begin < 3


def test_address_in_use() -> None:
    """Catches an error that does not say which address, or a service that was started for nothing."""
    with running() as server, running(OLLAMA_HOST=f"127.0.0.1:{server.port}", starts=False) as second:
        status, events, errors = second.end()
        assert ask(server.port, "GET", "/").status == 200
    assert (status, events) == (1, [])
    assert errors.endswith(f"OSError: listen tcp 127.0.0.1:{server.port}: bind: address already in use\n")


def test_address_that_is_not_here() -> None:
    """Catches an error that nobody understands."""
    for host, text in (
        ("192.0.2.1", "listen tcp 192.0.2.1:0: bind: cannot assign requested address"),
        ("nowhere.invalid", "listen tcp: lookup nowhere.invalid: "),
    ):
        with pytest.raises(OSError) as caught:
            bind_sockets(host, 0)
        assert str(caught.value).startswith(text)


def test_all_addresses() -> None:
    """Catches an empty host that means one family, and a server for everybody that does not say so."""
    with running(OLLAMA_HOST=":0") as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert ask(server.port, "GET", "/", headers={"Host": "any.example"}).status == 200
        if HAS_IPV6:
            assert alive_at("::1", server.port)
        server.signal(signal.SIGTERM)
        _, _, errors = server.end()
    assert "WARNING ANYONE WHO CAN REACH" in errors
    assert "no authentication" in errors


def test_names_and_families() -> None:
    """Catches a name of which only one address is served, or a port that differs between them."""
    sockets = bind_sockets("localhost", 0)
    assert sockets[0].family == socket.AF_INET
    assert len({each.getsockname()[1] for each in sockets}) == 1
    for each in sockets:
        each.close()
    assert shown_address("::1", 80) == "[::1]:80"


def test_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a server that fails, or listens at one address only, where its name has several, one of them gone."""
    addresses = [
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET, ("192.0.2.1", 0)),
        *([(socket.AF_INET6, ("::1", 0, 0, 0))] if HAS_IPV6 else []),
    ]
    monkeypatch.setattr(listening, "_addresses", lambda host, port: addresses)
    with ThreadServer() as server:
        for host in ("127.0.0.1", *(["::1"] if HAS_IPV6 else [])):
            assert alive_at(host, server.port)


def test_in_a_thread() -> None:
    """Catches a server that only a main thread can run, or that leaves threads or open files behind."""
    threads, files = threading.active_count(), []
    for _ in range(3):
        with ThreadServer() as server:
            assert ask(server.port, "GET", "/").status == 200
        files.append(len(os.listdir("/dev/fd")))
    assert threading.active_count() == threads
    assert files[1:] == files[:1] * 2  # the first opens what the event loop keeps for the whole process


SERVE = """
from pyollama.server import serve
from pyollama.settings import Settings
serve(Settings.from_environment(), lambda url: print(url, flush=True), 0)
"""


@pytest.mark.skipif(not os.path.exists("/proc"), reason="needs /proc")
def test_no_native_code(tmp_path: Path) -> None:
    """Catches llama.cpp in the server's own process, where a bad file could end it."""
    with running(code=SERVE, OLLAMA_MODELS=str(tmp_path)) as server:
        tags = ask(server.port, "GET", "/api/tags").json
        assert [model["name"] for model in tags["models"]] == ["tiny:latest"]
        order = {"model": "tiny", "prompt": "Why is the sky blue?", "stream": False}
        reply = ask(server.port, "POST", "/api/generate", order)
        assert (reply.status, reply.json["done"]) == (200, True)
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        children = _children(server.process.pid)
        assert children
        server.signal(signal.SIGTERM)
        status, _, errors = server.end()
        assert not any(os.path.exists(f"/proc/{child}") for child in children)
    assert "libpyollama" not in maps
    assert (status, "Traceback" in errors) == (0, False)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
