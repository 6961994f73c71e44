"""Which request gets which answer: routes, methods, headers, bodies."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys

import pytest

from .client import ask, ask_over, exchange, post
from .stand_in import StandIn, ThreadServer

JSON = "application/json; charset=utf-8"


def test_alive(port: int) -> None:
    """Catches a text that clients do not take for a running server, or a HEAD with a body."""
    reply = ask(port, "GET", "/")
    assert (reply.status, reply.body) == (200, b"Ollama is running")
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert exchange(port, b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").endswith(
        b"\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/version", {"version": "0.33.0"}),
        ("/api/tags", {"models": ["tiny <é>"]}),
        ("/api/ps", {"models": []}),
    ],
)
def test_what_is_there(port: int, path: str, answer: object) -> None:
    """Catches an answer of another type, or one that is not a single object without a line end."""
    reply = ask(port, "GET", path)
    assert (reply.status, reply.headers["Content-Type"], reply.json) == (200, JSON, answer)
    assert reply.body.endswith(b"}")
    assert reply.headers["Content-Length"] == str(len(reply.body))


def test_head(port: int) -> None:
    """Catches HEAD where it should not be, or missing where it should be."""
    for path in ("/", "/api/version", "/api/tags"):
        reply = ask(port, "HEAD", path)
        assert (reply.status, reply.body) == (200, b"")
        assert int(reply.headers["Content-Length"]) > 0
    assert ask(port, "HEAD", "/api/ps").status == 405


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/api/create"])
def test_one_object(port: int, path: str) -> None:
    """Catches a route that is missing, or a stream where one object was asked for."""
    reply = ask(port, "POST", path, {"stream": False})
    assert (reply.status, reply.headers["Content-Type"], reply.json["number"]) == (200, JSON, 0)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/generate", "POST"),
        ("DELETE", "/api/tags", "GET, HEAD"),
        ("PROPFIND", "/", "GET, HEAD"),
        ("OPTIONS", "/api/ps", "GET"),
        ("GET", "/api/blobs/sha256:00", "HEAD, POST"),
    ],
)
def test_wrong_method(port: int, method: str, path: str, allow: str) -> None:
    """Catches a method that is answered with 404, or without saying which ones there are."""
    reply = ask(port, method, path, headers={"Host": "127.0.0.1"})
    assert (reply.status, reply.body) == (405, b"405 method not allowed")
    assert reply.headers["Content-Type"] == "text/plain"
    assert sorted(reply.headers["Allow"].split(", ")) == allow.split(", ")


@pytest.mark.parametrize(
    "path", ["/nothing", "//", "/api", "/api/Tags", "/api/blobs/", "/api/blobs/a/b", "/%00", "*"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_unknown_path(port: int, path: str, method: str) -> None:
    """Catches a page of the framework instead of the text that clients know."""
    reply = ask(port, method, path, headers={"Host": "127.0.0.1"})
    assert (reply.status, reply.body) == (404, b"404 page not found")
    assert reply.headers["Content-Type"] == "text/plain"


def test_slash_at_the_end(port: int) -> None:
    """Catches a redirect that loses the method or the query, or leads to another host."""
    reply = ask(port, "GET", "/api/tags/?a=1")
    assert (reply.status, reply.headers["Location"], reply.body) == (301, "/api/tags?a=1", b"")
    reply = ask(port, "POST", "/api/generate/", {})
    assert (reply.status, reply.headers["Location"]) == (307, "/api/generate")
    reply = ask(port, "POST", "/api/blobs/sha256:00/", b"x")
    assert (reply.status, reply.headers["Location"]) == (307, "/api/blobs/sha256:00")
    assert ask(port, "GET", "//api/tags/").status == 404
    assert ask(port, "GET", "//evil.example/").status == 404


@pytest.mark.parametrize(
    "content_type",
    [None, "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "nonsense"],
)
def test_content_type_is_not_looked_at(port: int, service: StandIn, content_type: str | None) -> None:
    """Catches a body that the framework parses as a form, which curl's default says it is."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = b'{"stream": false, "a=b&c": "%20"}'
    assert ask(port, "POST", "/api/generate", body, headers).status == 200
    assert service.body == body


def test_bodies_as_clients_send_them(port: int, service: StandIn) -> None:
    """Catches a chunked body, or a GET with a body, that is lost or breaks the next request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/api/chat", iter([b'{"stre', b'am": false', b"}"]), encode_chunked=True)
    assert connection.getresponse().read()
    assert service.body == b'{"stream": false}'
    for method, path in (("GET", "/"), ("GET", "/api/tags"), ("HEAD", "/api/version"), ("GET", "/api/ps")):
        assert ask_over(connection, method, path, b"{}").status == 200
    assert ask_over(connection, "GET", "/api/tags", b"x" * 60_000).status == 200
    connection.close()


def test_empty_body(port: int, service: StandIn) -> None:
    """Catches a request without a body that waits for one."""
    service.body = b"something"
    assert ask(port, "POST", "/api/generate").status == 500
    assert service.body == b""


def test_keep_alive(port: int) -> None:
    """Catches a connection that ends after an answer: every request would pay for a new one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.connect()
    sock = connection.sock
    for method, path, body in (
        ("GET", "/", None),
        ("POST", "/api/generate", {"lines": 2}),
        ("GET", "/nothing", None),
        ("POST", "/nothing", {"a": 1}),
        ("POST", "/api/chat", {"error": "broken"}),
        ("POST", "/api/chat", {"error": "broken", "error_after": 1}),
        ("HEAD", "/api/blobs/sha256:00", None),
        ("GET", "/", None),
    ):
        ask_over(connection, method, path, body)
        assert connection.sock is sock, (method, path)
    connection.close()


def test_pipelined_requests(port: int) -> None:
    """Catches requests that are lost, or answered in another order, when they come without waiting."""
    requests = [
        b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n",
        post("/api/generate", {"lines": 2}),
        b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ]
    data = exchange(port, b"".join(requests))
    statuses = re.findall(rb"HTTP/1.1 (\d+)", data)
    assert statuses == [b"200", b"200", b"200", b"404", b"200"]
    assert (
        data.index(b"0.33.0") < data.index(b'"number":1') < data.index(b"404 page") < data.index(b"running")
    )


def test_old_client(port: int) -> None:
    """Catches chunks, or a connection that stays open, for a client of HTTP/1.0."""
    data = exchange(port, b"GET /api/version HTTP/1.0\r\n\r\n")
    assert data.endswith(b'\r\n\r\n{"version":"0.33.0"}')
    body = b'{"lines": 2}'
    head = b"POST /api/generate HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n" % len(body)
    head, _, lines = exchange(port, head + body).partition(b"\r\n\r\n")
    assert lines == b'{"number":0,"text":""}\n{"number":1,"text":""}\n'
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()


def test_headers_that_nobody_set(port: int) -> None:
    """Catches headers that the framework adds, such as an empty one or a type of "None"."""
    for method, path in (
        ("GET", "/"),
        ("HEAD", "/api/blobs/sha256:00"),
        ("GET", "/api/tags/"),
        ("POST", "/x"),
    ):
        reply = ask(port, method, path)
        assert {name.lower() for name in reply.headers} <= {
            *("content-type", "content-length", "connection", "location", "allow")
        }
        assert "None" not in reply.headers.values()


def test_importing_is_harmless() -> None:
    """Catches an import of the server that loads native code or changes how the whole process logs."""
    code = (
        "import logging, sys, pyollama.server\n"
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else ''\n"
        "print('libpyollama' in maps, logging.getLogger().handlers, logging.getLogger('sanic.root').handlers)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False [] []\n", "")


def test_two_servers_in_one_process(port: int) -> None:
    """Catches state of the framework that only one server of a process can have."""
    with ThreadServer() as other:
        assert ask(other.port, "GET", "/").status == ask(port, "GET", "/").status == 200
