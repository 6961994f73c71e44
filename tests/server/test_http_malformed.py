"""What is no HTTP, too large or too slow: a clear answer where there can be one, and the server lives."""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyollama.server import app, body, connection
from pyollama.server.connection import connection_config

from .client import ask, exchange, read_all, read_until
from .stand_in import StandIn, ThreadServer

HEAD = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\n"
MIB = 2**20


@pytest.fixture(scope="module")
def thread_server() -> Iterator[ThreadServer]:
    """With short limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "connection_config", lambda: {**connection_config(), "REQUEST_TIMEOUT": 0.6})
        patch.setattr(body, "BODY_IDLE", 0.4)
        patch.setattr(connection, "LINGER_IDLE", 0.3)
        with ThreadServer() as server:
            yield server


@pytest.fixture(autouse=True)
def alive(port: int) -> Iterator[None]:
    """Whatever a test did, the next client is answered."""
    yield
    assert ask(port, "GET", "/").status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a browser that begins with TLS \r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1_0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length : 5\r\n\r\n12345",
        HEAD + b"Content-Length: 2\r\n Content-Length: 3\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 100,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: trailer\r\n\r\n",
    ],
)
def test_malformed(port: int, service: StandIn, data: bytes) -> None:
    """Catches bytes that are taken for a request, that hang, or that leave the connection open for more."""
    answer = exchange(port, data)
    assert re.match(rb"HTTP/1.1 (400|404) ", answer), answer
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Traceback" not in answer
    assert service.events == []


def test_unknown_expectation(port: int) -> None:
    """Catches a request that is served though the client wanted something first that nobody knows."""
    assert exchange(port, HEAD + b"Expect: tea\r\nContent-Length: 2\r\n\r\n{}").startswith(b"HTTP/1.1 417")


def test_long_head(port: int) -> None:
    """Catches a head without bound, or one that names the wrong thing as too large."""
    answer = exchange(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b'{"error":"' in answer
    assert exchange(
        port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: " + b"x" * 10_000 + b"\r\n\r\n"
    ).startswith(b"HTTP/1.1 200")


def test_large_body(port: int, service: StandIn) -> None:
    """Catches a body without bound in memory, or an error that a client cannot see while it sends."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (256 * MIB + 1))
        client.sendall(b"x" * 20 * MIB)
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer
    assert b'{"error":"the request body is larger than 268,435,456 bytes' in answer
    answer = exchange(port, HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert service.events == []


def test_large_chunked_body(port: int, monkeypatch: pytest.MonkeyPatch, service: StandIn) -> None:
    """Catches a body that does not say how large it is, and so has no bound."""
    monkeypatch.setattr(body.read_body, "__defaults__", (MIB,))
    chunk = b"%x\r\n%b\r\n" % (MIB // 2, b"x" * (MIB // 2))
    answer = exchange(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 10)
    assert answer.startswith(b"HTTP/1.1 413")
    assert service.events == []


def test_dripping_head(port: int) -> None:
    """Catches a client that holds a connection for hours by sending a byte now and then (slowloris)."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        client.settimeout(0.1)
        answer = b""
        while not answer:
            assert time.monotonic() < begin + 3
            client.sendall(b"X: y\r\n")
            try:
                answer = client.recv(1000)
            except TimeoutError:
                pass
    assert answer.startswith(b"HTTP/1.1 408")


def test_stalled_body(port: int, service: StandIn) -> None:
    """Catches a client that holds a connection by never sending the rest of its body."""
    begin = time.monotonic()
    answer = exchange(port, HEAD + b"Content-Length: 100\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begin < 2
    assert service.events == []


def test_slow_answer(port: int) -> None:
    """Catches a time limit on answers: a model may load for minutes."""
    assert ask(port, "POST", "/api/generate", {"wait": 1.2, "stream": False}).status == 200
    assert ask(port, "POST", "/api/generate", {"pause": 0.8, "lines": 2}).status == 200


def test_websocket(port: int) -> None:
    """Catches an upgrade that nobody offers and that ends the time limits of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n\r\n"
        )
        assert b"200 OK" in read_until(client, b"running")
        client.sendall(b"GET / HT")
        assert read_all(client).startswith(b"HTTP/1.1 408")


def test_random_bytes(port: int) -> None:
    """Catches bytes that nobody thought of."""
    source = random.Random(1)
    request = HEAD + b"Content-Length: 17\r\n\r\n" + b'{"stream": false}'
    for _ in range(200):
        data = bytearray(request)
        for _ in range(source.randrange(1, 4)):
            place = source.randrange(len(data))
            data[place : place + source.randrange(3)] = source.randbytes(source.randrange(3))
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            read_all(client)


@settings(max_examples=150, deadline=None)
@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_random_paths(thread_server: ThreadServer, path: str) -> None:
    """Catches a path on which the framework's router fails."""
    data = f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    answer = exchange(thread_server.port, data)
    assert re.match(rb"HTTP/1.1 (200|301|400|404|405) ", answer), (path, answer)
