"""Streams: framing, errors, slow clients, and clients that go away."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from .client import ask, post, read_all, read_until, wait_for
from .stand_in import StandIn


def connect(port: int, receive_buffer: int = 0) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", port))
    return connection


def test_framing(port: int) -> None:
    """Catches lines that are merged or cut, or a stream without its end."""
    with connect(port) as client:
        client.sendall(post("/api/chat", {"lines": 3}))
        head, _, data = read_until(client, b"\r\n0\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert {b"content-type: application/x-ndjson", b"transfer-encoding: chunked"} <= set(head.split(b"\r\n"))
    assert (
        data
        == b"".join(b'17\r\n{"number":%d,"text":""}\n\r\n' % number for number in range(3)) + b"0\r\n\r\n"
    )


def test_each_line_at_once(port: int) -> None:
    """Catches lines that are kept back until there are more."""
    with connect(port) as client:
        begin = time.monotonic()
        client.sendall(post("/api/generate", {"lines": 3, "pause": 0.3}))
        for number in range(3):
            assert b'"number":%d' % number in read_until(client, b"}\n")
            # long before the next one is made
            assert 0.3 * (number + 1) <= time.monotonic() - begin + 0.01 < 0.3 * (number + 1) + 0.25


def test_no_lines(port: int) -> None:
    """Catches a stream without items that gets no answer."""
    reply = ask(port, "POST", "/api/generate", {"lines": 0})
    assert (reply.status, reply.body) == (200, b"")


def test_text_is_utf8(port: int) -> None:
    """Catches escapes in place of characters."""
    assert "é" in ask(port, "GET", "/api/tags").body.decode()


@pytest.mark.parametrize("order", [{}, {"error_after": 0}, {"stream": False}])
def test_error_before_the_first_line(port: int, order: dict[str, Any]) -> None:
    """Catches a status of 200 for a request that failed before there was anything to send."""
    reply = ask(port, "POST", "/api/generate", {"error": "broken", **order})
    assert (reply.status, reply.json) == (500, {"error": "broken"})
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"


def test_error_after_a_line(port: int, service: StandIn) -> None:
    """Catches a stream that just breaks off, or goes on after its error."""
    reply = ask(port, "POST", "/api/generate", {"lines": 5, "error": "broken", "error_after": 2})
    assert reply.status == 200
    assert [json.loads(line) for line in reply.body.splitlines()][1:] == [
        {"number": 1, "text": ""},
        {"error": "broken"},
    ]
    assert reply.body.endswith(b"\n")
    assert service.events == ["asked", "ended"]


def test_slow_reader(port: int, service: StandIn) -> None:
    """Catches lines that pile up in memory for a client that does not read."""
    with connect(port, receive_buffer=4096) as client:
        client.sendall(post("/api/generate", {"lines": 300, "size": 100_000}, "Connection: close"))
        wait_for(lambda: service.sent > 0)
        time.sleep(0.3)
        stuck = service.sent
        time.sleep(0.3)
        assert service.sent == stuck < 100
        assert read_all(client).count(b'"number":') == 300
    assert service.events == ["asked", "finished", "ended"]


def test_reader_that_never_reads(port: int, service: StandIn) -> None:
    """Catches a generation that waits for ever for a client that has gone without reading."""
    client = connect(port, receive_buffer=4096)
    client.sendall(post("/api/generate", {"lines": 1000, "size": 100_000}))
    wait_for(lambda: service.sent > 0)
    time.sleep(0.2)
    client.close()
    wait_for(lambda: "ended" in service.events)
    assert "finished" not in service.events


@pytest.mark.parametrize("fill", [0, 70_000, 300_000], ids=lambda fill: f"{fill} bytes more")
@pytest.mark.parametrize(
    ("order", "end"),
    [
        ({"lines": 9, "pause": 9}, "ended"),
        ({"wait": 9}, "cancelled"),
        ({"wait": 9, "stream": False}, "cancelled"),
    ],
    ids=["before the first line", "before a stream", "not a stream"],
)
def test_client_goes_away(port: int, service: StandIn, order: dict[str, Any], end: str, fill: int) -> None:
    """Catches work for nobody: also after a large body, which stops the reading, and so the noticing."""
    client = connect(port)
    client.sendall(post("/api/generate", {**order, "fill": "x" * fill}))
    wait_for(lambda: "asked" in service.events)
    time.sleep(0.05)
    assert service.events == ["asked"]
    client.close()
    assert wait_for(lambda: end in service.events) < 0.5


def test_client_goes_away_between_lines(port: int, service: StandIn) -> None:
    """Catches a stream that goes on until its next line, though nobody takes it."""
    client = connect(port)
    client.sendall(post("/api/generate", {"lines": 3, "pause": 0.8}))
    read_until(client, b"\n\r\n")
    client.close()
    assert wait_for(lambda: "ended" in service.events) < 0.5
    assert "finished" not in service.events


def test_client_goes_away_with_a_reset(port: int, service: StandIn) -> None:
    """Catches a reset connection that is not noticed as an end."""
    client = connect(port)
    client.sendall(post("/api/generate", {"wait": 9}))
    wait_for(lambda: "asked" in service.events)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    assert wait_for(lambda: "cancelled" in service.events) < 0.5
    assert ask(port, "GET", "/").status == 200


def test_many_clients(port: int, service: StandIn) -> None:
    """Catches requests that wait for each other."""
    clients = [connect(port) for _ in range(50)]
    begin = time.monotonic()
    for client in clients:
        client.sendall(post("/api/generate", {"lines": 2, "pause": 0.1}))
    for client in clients:
        read_until(client, b"\r\n0\r\n\r\n")
        client.close()
    assert time.monotonic() - begin < 2
    assert service.events.count("finished") == 50
