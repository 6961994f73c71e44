"""Uploads: streamed, checked, not wanted, broken off."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from .client import ask, ask_over, exchange, read_until, wait_for
from .stand_in import StandIn

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob_path(data: bytes) -> str:
    return f"/api/blobs/{digest_of(data)}"


def head(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def test_upload(port: int, service: StandIn) -> None:
    """Catches a blob that is not stored, or an answer that clients do not know."""
    data = b"upload" * 1000
    assert ask(port, "HEAD", blob_path(data)).status == 404
    reply = ask(port, "POST", blob_path(data), data)
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (201, b"", None)
    assert service.blobs[digest_of(data)] == len(data)
    for method in ("HEAD", "POST"):
        reply = ask(port, method, blob_path(data), data if method == "POST" else None)
        assert (reply.status, reply.body) == (200, b"")


def test_escaped_digest(port: int) -> None:
    """Catches a client that escapes the colon in the path."""
    data = b"escaped"
    assert ask(port, "POST", blob_path(data).replace(":", "%3A"), data).status == 201


def test_chunked_upload(port: int, service: StandIn) -> None:
    """Catches an upload of unknown length that is cut."""
    parts = [bytes([number]) * 50_000 for number in range(40)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", blob_path(b"".join(parts)), iter(parts), encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()
    assert service.events.count("chunk") > 10


def test_bad_digest(port: int) -> None:
    """Catches a text that becomes a path."""
    for method in ("HEAD", "POST"):
        reply = ask(port, method, "/api/blobs/..%2F..%2Fetc", b"x" if method == "POST" else None)
        assert reply.status == 400
    assert reply.json == {"error": "invalid digest format"}


def test_error(port: int) -> None:
    """Catches an error of the service that does not reach the client."""
    reply = ask(port, "POST", blob_path(b"one"), b"two")
    assert (reply.status, reply.json["error"][:15]) == (500, "digest mismatch")


def test_upload_that_nobody_needs(port: int, service: StandIn) -> None:
    """Catches an answer that is lost, because its connection is closed on unread data, or a connection that takes
    the rest of the blob for a request."""
    service.blobs[digest_of(b"there")] = 5
    path = blob_path(b"there")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in range(2):
        assert ask_over(connection, "POST", path, b"there").status == 200
    assert ask_over(connection, "POST", path, b"x" * 30_000_000).status == 200
    assert connection.sock is None  # closed, as the answer said
    assert ask_over(connection, "GET", "/").status == 200
    connection.close()
    smuggled = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    data = exchange(port, head(path, "Content-Length: 1000000"), smuggled)
    assert data.count(b"HTTP/1.1") == 1
    assert "chunk" not in service.events


def test_upload_with_expect(port: int, service: StandIn) -> None:
    """Catches a client that waits for ever for the word to go on, or gets it for a blob that nobody needs."""
    data = b"expected" * 100
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(head(blob_path(data), f"Content-Length: {len(data)}", "Expect: 100-continue"))
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(data)
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 201")
        client.sendall(head(blob_path(data), f"Content-Length: {len(data)}", "Expect: 100-continue"))
        answer = read_until(client, b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert client.recv(100) == b""
    reply = exchange(port, head("/api/blobs/bad", "Content-Length: 100000000", "Expect: 100-continue"))
    assert reply.startswith(b"HTTP/1.1 400")


@needs_curl
@pytest.mark.parametrize("size", [10, 5_000_000, 50_000_000])
def test_curl(port: int, tmp_path: Path, size: int) -> None:
    """Catches an upload as people type it: stored the first time, not needed the second."""
    file = tmp_path / "blob"
    file.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    url = f"http://127.0.0.1:{port}{blob_path(file.read_bytes())}"
    for chunked in ([], ["-H", "Transfer-Encoding: chunked"]):
        codes = []
        for _ in range(2):
            command = ["curl", "-sS", "-T", str(file), "-X", "POST", *chunked, "-w", "%{http_code}", url]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert (done.returncode, done.stderr) == (0, "")
            codes.append(done.stdout[-3:])
        assert codes[1] == "200"
    assert codes[0] == "200"


def test_client_goes_away(port: int, service: StandIn) -> None:
    """Catches an upload that is broken off and waits for the rest."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(head(blob_path(b"gone"), "Content-Length: 1000000") + b"x" * 100_000)
        wait_for(lambda: "chunk" in service.events)
        time.sleep(0.05)
    assert wait_for(lambda: "cancelled" in service.events) < 0.5
