"""A client of the HTTP server, for the commands."""

from __future__ import annotations

import http.client
import platform
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from pyollama import __version__
from pyollama.cli.replies import Reply
from pyollama.errors import Error
from pyollama.settings import ServerAddress

__all__ = ["Client", "ConnectionLost", "CouldNotConnect", "ServerError"]

R = TypeVar("R", bound=Reply)

# The longest line of a stream and the longest whole answer that are read, in bytes.
MAX_LINE = 8_000_000
MAX_BODY = 64_000_000
READ_BYTES = 65_536
# Seconds to wait for a connection, and for the answer to the question whether a server is there. Everything
# else may take as long as it takes: loading a model does.
CONNECT_SECONDS = 30.0


class CouldNotConnect(Error):
    """Raised when nobody listens at the address of the server."""


class ConnectionLost(Error):
    """Raised when the connection failed, or ended before the answer was complete."""


class ServerError(Error):
    """Raised when the server refused or failed. ``status`` is the HTTP status."""

    def __init__(self, message: str = "", *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Asks one server. Each request has a connection of its own, so nothing needs to be closed.

    Args:
        address: Where the server is.

    Example::

        client = Client(ServerAddress.parse(""))
        client.check()
        for chunk in client.stream("/api/generate", body, GenerateReply):
            print(chunk.response, end="")
    """

    def __init__(self, address: ServerAddress) -> None:
        self.address = address

    def check(self) -> None:
        """See whether the server is there.

        Raises:
            CouldNotConnect: Nobody listens there.
            ConnectionLost: Who listens does not answer, or not in HTTP.
            ServerError: The server refuses.
        """
        with self._answer("HEAD", "/", seconds=CONNECT_SECONDS) as response:
            _raise_for_status(response, streamed=True)

    def get(self, path: str, reply: type[R]) -> R:
        """Get a whole answer.

        Args:
            path: Such as ``/api/tags``.
            reply: What the answer is.

        Raises:
            CouldNotConnect, ConnectionLost, ServerError: As for `check`.
        """
        return self._whole("GET", path, None, reply)

    def post(self, path: str, body: msgspec.Struct, reply: type[R]) -> R:
        """As `get`, with a body to send."""
        return self._whole("POST", path, body, reply)

    def stream(self, path: str, body: msgspec.Struct, reply: type[R]) -> Generator[R, None, None]:
        """Get an answer line by line. Close the iterator to cancel what the server is doing.

        Raises:
            CouldNotConnect, ConnectionLost, ServerError: As for `check`; also in the middle of the answer.
        """
        decoder = msgspec.json.Decoder(reply)
        with self._answer("POST", path, body, "application/x-ndjson") as response:
            _raise_for_status(response, streamed=True)
            for line in _lines(response):
                if line.strip():
                    yield _decoded(line, decoder)

    def _whole(self, method: str, path: str, body: msgspec.Struct | None, reply: type[R]) -> R:
        with self._answer(method, path, body) as response:
            _raise_for_status(response, streamed=False)
            return _decoded(_read(response), msgspec.json.Decoder(reply))

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        body: msgspec.Struct | None = None,
        accept: str = "application/json",
        seconds: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer whose body is still to be read; its connection is closed afterwards.

        Args:
            seconds: How long the server may be silent; None: for ever.
        """
        connection = self._connection()
        try:
            try:
                connection.connect()
            except ConnectionRefusedError:
                raise CouldNotConnect(
                    "could not connect to pyollama server, run 'pyollama serve' to start it"
                ) from None
            connection.sock.settimeout(seconds)
            data = None if body is None else msgspec.json.encode(body)
            connection.request(method, self.address.path + path, data, _headers(accept))
            yield connection.getresponse()
        except (http.client.HTTPException, OSError) as error:
            raise ConnectionLost(self._complaint(error)) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.address.connect_host, self.address.port
        if self.address.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=CONNECT_SECONDS, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)

    def _complaint(self, error: Exception) -> str:
        url = self.address.url
        if isinstance(error, TimeoutError):
            return f"the server at {url} does not answer"
        if isinstance(error, (http.client.IncompleteRead, ConnectionError)):
            return f"the server at {url} ended the connection before its answer was complete"
        if isinstance(error, http.client.HTTPException):
            return f"what answers at {url} is no HTTP server: {type(error).__name__}: {str(error)[:200]}"
        return f"cannot reach the server at {url}: {error}"


def _headers(accept: str) -> dict[str, str]:
    where = f"{platform.machine()} {platform.system().lower()}"
    agent = f"pyollama/{__version__} ({where}) Python/{platform.python_version()}"
    return {"User-Agent": agent, "Accept": accept, "Content-Type": "application/json"}


def _read(response: http.client.HTTPResponse) -> bytes:
    data = response.read(MAX_BODY + 1)
    if len(data) > MAX_BODY:
        raise ConnectionLost(f"the server sent an answer of more than {MAX_BODY} bytes")
    _raise_if_cut(response)
    return data


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Each line as soon as it is there. readline() would take a cut connection for the end of the answer."""
    pieces: list[bytes] = []
    size = 0
    while data := response.read1(READ_BYTES):
        first, *others = data.split(b"\n")
        pieces.append(first)
        size += len(first)
        for other in others:
            yield b"".join(pieces)
            pieces, size = [other], len(other)
        if size > MAX_LINE:
            raise ConnectionLost(f"the server sent a line of more than {MAX_LINE} bytes")
    _raise_if_cut(response)
    yield b"".join(pieces)


def _raise_if_cut(response: http.client.HTTPResponse) -> None:
    # http.client itself sees to this where the body comes in chunks, but not where its length was told.
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _raise_for_status(response: http.client.HTTPResponse, *, streamed: bool) -> None:
    """Raise what an answer with an error status says.

    Args:
        streamed: Put the status before it.
    """
    if response.status < 400:
        return
    status_line = f"{response.status} {response.reason}".rstrip()
    message = _error_text(_read(response))
    if response.status == 401:
        hidden = "something went wrong, please see the pyollama server logs for details"
        message = status_line if streamed else hidden
    elif streamed and message:
        message = f"{status_line}: {message}"
    raise ServerError(message or status_line, status=response.status)


def _error_text(body: bytes) -> str:
    """The text of an error: the field of the JSON object if it is one, else the body itself."""
    try:
        content: Any = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return body.decode("utf-8", "replace").strip()
    error = content.get("error", "") if isinstance(content, dict) else content
    return error if isinstance(error, str) else msgspec.json.encode(error).decode()


def _decoded(data: bytes, decoder: msgspec.json.Decoder[R]) -> R:
    try:
        reply = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        shown = data[:80].decode("utf-8", "replace").strip()
        raise ConnectionLost(f"the server's answer cannot be read: {error}: {shown!r}") from error
    if reply.error:
        raise ServerError(reply.error)
    return reply
