"""Answers: one JSON object, a stream of them, an error, nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from sanic.response.types import HTTPResponse

__all__ = [
    "NDJSON",
    "Response",
    "empty_response",
    "encode",
    "error_body",
    "error_response",
    "json_response",
    "text_response",
]

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
NDJSON = "application/x-ndjson"

encode = msgspec.json.Encoder().encode


class Response(HTTPResponse):
    """An answer with exactly the headers it was given, and the framing that Sanic adds."""

    __slots__ = ("until_close",)

    def __init__(
        self,
        body: bytes = b"",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> None:
        super().__init__(body, status, dict(headers or {}), content_type)
        # Whether a stream goes out without chunks and ends with the connection.
        self.until_close = False

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """The headers as they are sent."""
        if self.content_type:
            self.headers.setdefault("content-type", self.content_type)
        # Sanic sets alt-svc to nothing.
        unwanted = ("alt-svc", "transfer-encoding") if self.until_close else ("alt-svc",)
        for name, value in self.headers.items():
            if name.lower() not in unwanted:
                yield name.encode("ascii"), str(value).encode("utf-8", "surrogateescape")


def json_response(value: msgspec.Struct, status: int = 200) -> Response:
    """One JSON object."""
    return Response(encode(value), status, content_type=JSON)


def error_response(message: str, status: int) -> Response:
    """``{"error": message}``"""
    return Response(error_body(message), status, content_type=JSON)


def error_body(message: str) -> bytes:
    """The JSON of an error, also for the last line of a stream that failed."""
    return encode({"error": message})


def text_response(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Plain text."""
    return Response(text.encode(), status, headers, TEXT if status < 400 else "text/plain")


def empty_response(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A status alone."""
    return Response(b"", status, headers)
