"""Small clients: one whole request, and raw bytes."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

LIMIT = 20.0


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """Send one request over a connection of its own. A body that is no bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        return ask_over(connection, method, path, body, headers)
    finally:
        connection.close()


def ask_over(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """The same over a connection that is there."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, dict(headers or {}))
    response = connection.getresponse()
    return Reply(response.status, response.headers, response.read())


def exchange(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send bytes, then read until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        piece = connection.recv(65536)
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data


def post(path: str, order: Any, *headers: str) -> bytes:
    """A request as bytes."""
    body = json.dumps(order).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def wait_for(is_true: Callable[[], bool], within: float = 5.0) -> float:
    """Wait until something is so; seconds that it took."""
    begin = time.monotonic()
    while not is_true():
        assert time.monotonic() < begin + within, "it did not happen"
        time.sleep(0.002)
    return time.monotonic() - begin
