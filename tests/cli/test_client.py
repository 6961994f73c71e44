"""The client of the HTTP server: what it sends, and every way an answer can go wrong."""

from __future__ import annotations

import platform
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import pyollama
from pyollama.cli import client as client_module
from pyollama.cli.client import Client, ConnectionLost, CouldNotConnect, ServerError
from pyollama.cli.replies import GenerateReply, GenerateRequest, Models
from pyollama.settings import ServerAddress

from .played import Cut, Pause, PlayedServer, spoken

REQUEST = GenerateRequest(model="m", prompt="p")
GENERATE = "POST /api/generate"
TAGS = "GET /api/tags"


@pytest.fixture
def client(server: PlayedServer) -> Client:
    return Client(ServerAddress.parse(server.url))


def texts(client: Client) -> list[str]:
    return [line.response for line in client.stream("/api/generate", REQUEST, GenerateReply)]


@contextmanager
def listener(answer: bytes) -> Iterator[Client]:
    """A client of something that answers the first request with these bytes, whatever it was."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def play() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=play)
        thread.start()
        yield Client(ServerAddress("http", "127.0.0.1", listening.getsockname()[1]))
        thread.join()


def test_requests(server: PlayedServer, client: Client) -> None:
    """Catches fields and headers that a server needs, and fields that were not given."""
    client.check()
    server.answers[GENERATE] = spoken("a")
    texts(client)
    server.answers[TAGS] = {"models": None}
    assert client.get("/api/tags", Models).models is None
    assert server.requests == [("HEAD /", None), (GENERATE, {"model": "m", "prompt": "p"}), (TAGS, None)]
    agent = f"pyollama/{pyollama.__version__} ({platform.machine()} linux) Python/{platform.python_version()}"
    assert server.headers[1]["User-Agent"].replace("darwin", "linux") == agent
    assert server.headers[1]["Content-Type"] == "application/json"
    assert server.headers[1]["Accept"] == "application/x-ndjson"
    assert server.headers[2]["Accept"] == "application/json"


def test_prefix(server: PlayedServer) -> None:
    """Catches a path of OLLAMA_HOST that is forgotten."""
    server.answers["GET /ollama/api/tags"] = {"models": []}
    Client(ServerAddress.parse(f"{server.url}/ollama/")).get("/api/tags", Models)


def test_stream(server: PlayedServer, client: Client) -> None:
    """Catches lines that are joined or lost, fields that are unknown, and lines that are long."""
    long = "x" * 1_000_000
    lines = spoken("one", "漢字 ", long)
    server.answers[GENERATE] = [*lines[:2], b"\n", {**lines[2], "new": {"field": 1}}, lines[3]]
    assert texts(client) == ["one", "漢字 ", long, ""]
    # Lines and the pieces of the transfer need not agree, and the last line feed may be missing.
    server.answers[GENERATE] = [b'{"resp', b'onse":"a"}\n{"response":"b"}\n{"resp', b'onse":"c"}']
    assert texts(client) == ["a", "b", "c"]


def test_pieces_arrive_at_once(server: PlayedServer, client: Client) -> None:
    """Catches a client that waits for more than a line; and one that does not tell when it has enough."""
    server.answers[GENERATE] = [*spoken("a")[:1], Pause()]
    stream = client.stream("/api/generate", REQUEST, GenerateReply)
    assert next(stream).response == "a"
    assert not server.client_has_gone.is_set()
    stream.close()
    assert server.client_has_gone.wait(10)


@pytest.mark.parametrize(
    ("status", "body", "whole", "streamed"),
    [
        (
            404,
            b'{"error":"model \'m\' not found"}',
            "model 'm' not found",
            "404 Not Found: model 'm' not found",
        ),
        (500, b"oops\n", "oops", "500 Internal Server Error: oops"),
        (503, b"", "503 Service Unavailable", "503 Service Unavailable"),
        (400, b'{"other": 1}', "400 Bad Request", "400 Bad Request"),
        (400, b'{"error": {"message": "m"}}', '{"message":"m"}', '400 Bad Request: {"message":"m"}'),
        (400, b"\xff", "\ufffd", "400 Bad Request: \ufffd"),
        (
            401,
            b'{"error":"unauthorized","signin_url":"http://x"}',
            "something went wrong, please see the pyollama server logs for details",
            "401 Unauthorized",
        ),
    ],
)
def test_error_status(
    server: PlayedServer, client: Client, status: int, body: bytes, whole: str, streamed: str
) -> None:
    """Catches an error that is taken for an answer, and one without its text."""
    server.answers[GENERATE] = (status, body)
    with pytest.raises(ServerError) as caught:
        client.post("/api/generate", REQUEST, GenerateReply)
    assert (str(caught.value), caught.value.status) == (whole, status)
    with pytest.raises(ServerError) as caught:
        texts(client)
    assert (str(caught.value), caught.value.status) == (streamed, status)


def test_error_in_the_middle(server: PlayedServer, client: Client) -> None:
    """Catches an error after the first words that looks like the end of the answer."""
    server.answers[GENERATE] = [*spoken("a")[:1], {"error": "the model stopped"}]
    stream = client.stream("/api/generate", REQUEST, GenerateReply)
    assert next(stream).response == "a"
    with pytest.raises(ServerError, match=r"^the model stopped$"):
        next(stream)


@pytest.mark.parametrize(
    "line", [b"{broken\n", b"[]\n", b'{"response": 1}\n', b'{"response":"\xff"}\n', b"[" * 100_000 + b"\n"]
)
def test_broken_json(server: PlayedServer, client: Client, line: bytes) -> None:
    """Catches a traceback for an answer that is none."""
    server.answers[GENERATE] = [*spoken("a")[:1], line]
    stream = client.stream("/api/generate", REQUEST, GenerateReply)
    next(stream)
    with pytest.raises(ConnectionLost, match=r"^the server's answer cannot be read: ") as caught:
        next(stream)
    assert len(str(caught.value)) < 400
    server.answers[GENERATE] = (200, line)
    with pytest.raises(ConnectionLost, match="cannot be read"):
        client.post("/api/generate", REQUEST, GenerateReply)


@pytest.mark.parametrize("last", [[Cut()], [b'{"response":"b', Cut()]])
def test_connection_cut(server: PlayedServer, client: Client, last: list[object]) -> None:
    """Catches half an answer that is taken for a whole one."""
    server.answers[GENERATE] = [*spoken("a")[:1], *last]
    stream = client.stream("/api/generate", REQUEST, GenerateReply)
    assert next(stream).response == "a"
    with pytest.raises(ConnectionLost, match="ended the connection before its answer was complete"):
        next(stream)


def test_answer_cut() -> None:
    """Catches the same where the server told the length."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"
    with listener(head + b'{"models": []}') as client, pytest.raises(ConnectionLost, match="was complete"):
        client.get("/api/tags", Models)
    with (
        listener(head + b'{"response":"a"}\n') as client,
        pytest.raises(ConnectionLost, match="was complete"),
    ):
        texts(client)


def test_endless_line(server: PlayedServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a server that fills the client's memory."""
    monkeypatch.setattr(client_module, "MAX_LINE", 100)
    monkeypatch.setattr(client_module, "MAX_BODY", 100)
    server.answers[GENERATE] = [b"x" * 101]
    with pytest.raises(ConnectionLost, match="a line of more than 100 bytes"):
        texts(client)
    server.answers[TAGS] = (200, b" " * 101)
    with pytest.raises(ConnectionLost, match="an answer of more than 100 bytes"):
        client.get("/api/tags", Models)


def test_nobody_listens() -> None:
    """Catches a system error where the user needs to know what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = Client(ServerAddress("http", "127.0.0.1", taken.getsockname()[1]))
        for ask in (away.check, lambda: texts(away)):
            with pytest.raises(CouldNotConnect) as caught:
                ask()
            message = "could not connect to pyollama server, run 'pyollama serve' to start it"
            assert str(caught.value) == message


def test_no_such_host() -> None:
    """Catches a wrong name taken for a server that is not running: nothing would help then."""
    away = Client(ServerAddress("http", "no-such-host.invalid", 80))
    with pytest.raises(ConnectionLost, match=r"cannot reach the server at http://no-such-host\.invalid:80"):
        away.check()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers at .* is no HTTP server: BadStatusLine"),
        (b"", "ended the connection before"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "is no HTTP server: LineTooLong"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "^403 Forbidden$"),
    ],
)
def test_something_else_listens(answer: bytes, message: str) -> None:
    """Catches a traceback for a port that belongs to another program."""
    with listener(answer) as client, pytest.raises((ConnectionLost, ServerError), match=message):
        client.check()


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a command that waits for ever for a server that hangs."""
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        away = Client(ServerAddress("http", "127.0.0.1", listening.getsockname()[1]))
        with pytest.raises(ConnectionLost, match="does not answer"):
            away.check()
