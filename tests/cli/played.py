"""A real HTTP server that plays back answers and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LIMIT = 60.0


class Pause:
    """In a stream: nothing more comes until the client has gone, or a test says so."""


class Cut:
    """In a stream: the connection ends here, in the middle of the answer."""


class PlayedServer(ThreadingHTTPServer):
    """Answers by route, such as ``"POST /api/chat"``.

    A list is streamed, one line for each item: an object, or bytes as they are. A pair is a status and a body.
    Anything else is one JSON object. A function gets the request and returns one of these.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Any] = {"HEAD /": (200, b"")}
        self.requests: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.client_has_gone = threading.Event()
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def bodies(self, route: str) -> list[Any]:
        """What was sent there, request after request."""
        return [body for asked, body in self.requests if asked == route]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PlayedServer

    def do_HEAD(self) -> None:
        self._play()

    def do_GET(self) -> None:
        self._play()

    def do_POST(self) -> None:
        self._play()

    def _play(self) -> None:
        route = f"{self.command} {self.path}"
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(data) if data else None
        self.server.requests.append((route, body))
        self.server.headers.append(dict(self.headers))
        answer = self.server.answers.get(route, (404, b"404 page not found"))
        if isinstance(answer, Callable):  # type: ignore[arg-type]
            answer = answer(body)
        if isinstance(answer, list):
            self._stream(answer)
            return
        status, content = answer if isinstance(answer, tuple) else (200, answer)
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _stream(self, items: list[Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for item in items:
                if isinstance(item, Cut):
                    self.close_connection = True
                    return
                if isinstance(item, Pause):
                    self._wait()
                    continue
                line = item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.server.client_has_gone.set()
            self.close_connection = True

    def _wait(self) -> None:
        """Until a test says so, or the client has closed the connection."""
        deadline = time.monotonic() + LIMIT
        self.connection.settimeout(0.02)
        while time.monotonic() < deadline and not self.server.go_on.is_set():
            try:
                if not self.connection.recv(1):
                    self.server.client_has_gone.set()
                    raise ConnectionResetError
            except TimeoutError:
                pass
        self.connection.settimeout(None)

    def handle(self) -> None:
        """Without a traceback when the client closes the connection early."""
        try:
            super().handle()
        except ConnectionError:
            self.server.client_has_gone.set()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests look at ``requests``."""


@contextmanager
def played_server() -> Iterator[PlayedServer]:
    """A server that answers until the block ends."""
    with PlayedServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()


def spoken(*pieces: str, **last: Any) -> list[Any]:
    """Lines of ``/api/generate``."""
    lines: list[Any] = [{"model": "m", "response": piece, "done": False} for piece in pieces]
    return [*lines, {"model": "m", "response": "", "done": True, "done_reason": "stop", **last}]


def chatted(*pieces: str, **last: Any) -> list[Any]:
    """Lines of ``/api/chat``."""
    lines: list[Any] = [
        {"message": {"role": "assistant", "content": piece}, "done": False} for piece in pieces
    ]
    return [*lines, {"message": {"role": "assistant", "content": ""}, "done": True, **last}]


METRICS = {
    "total_duration": 2_123_456_789,
    "load_duration": 45_123_456,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 130_079_000,
    "eval_count": 259,
    "eval_duration": 4_232_710_000,
}
METRICS_SHOWN = """\
total duration:       2.123456789s
load duration:        45.123456ms
prompt eval count:    26 token(s)
prompt eval duration: 130.079ms
prompt eval rate:     199.88 tokens/s
eval count:           259 token(s)
eval duration:        4.23271s
eval rate:            61.19 tokens/s
"""
