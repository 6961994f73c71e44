"""One connection: what Sanic's does not do for large uploads, old clients and very slow ones."""

from __future__ import annotations

import asyncio
import math
import re
from typing import Any, cast

from sanic.exceptions import BadRequest
from sanic.http import Http
from sanic.http.constants import Stage
from sanic.response.types import BaseHTTPResponse
from sanic.server.protocols.http_protocol import HttpProtocol

from pyollama.server.response import Response

__all__ = ["Connection", "ServerProtocol", "check_head"]

# A first line and headers. Sanic takes spaces before a colon, folded lines and bare line feeds, which others
# between a client and us may read differently: then a body can hide a request.
HEAD = re.compile(rb"[^\r\n\0]+(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*)*")

# How long to take in a body that nobody wants, in seconds: without a byte, and in all.
LINGER_IDLE = 2.0
LINGER_TOTAL = 60.0


class Connection(Http):
    """Requests and answers of one connection."""

    # Sanic makes slots of its classes.
    __slots__ = ("lingers",)

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self.lingers = False

    @property
    def unread(self) -> int | None:
        """Bytes of the request's body that have not been read; None: its length is not known."""
        if not self.request_body:
            return 0
        # Sanic's type says bytes; it is True, or this word.
        return None if cast(object, self.request_body) == "chunked" else int(self.request_bytes_left or 0)

    def create_empty_request(self) -> None:
        """Make a request for the answer to what was none. Sanic's fails where the target was at fault."""
        self.url = None
        super().create_empty_request()

    async def http1(self) -> None:
        """Serve the connection until it ends."""
        await super().http1()  # type: ignore[no-untyped-call]
        if self.lingers:
            await self._linger()

    def respond(self, response: BaseHTTPResponse) -> BaseHTTPResponse:
        """Begin an answer, whoever gives it: a handler, the guard, the error handler."""
        self._drop_body()
        if self.protocol.app.ctx.stopping:
            self.keep_alive = False
        if isinstance(response, Response):
            response.headers.update(self.request.ctx.__dict__.get("headers", {}))
            if self.request.version == "1.0":
                # Such a client knows no chunks: the end of the connection is the end of a stream.
                response.until_close = not response.body
                self.keep_alive = self.keep_alive and not response.until_close
        return super().respond(response)

    async def http1_response_chunked(self, data: bytes, end_stream: bool) -> None:
        """Send a part of a stream."""
        if not getattr(self.response, "until_close", False):
            await super().http1_response_chunked(data, end_stream)
            return
        if data:
            await self._send(data)
        if end_stream:
            self.response_func = None  # type: ignore[assignment]
            self.stage = Stage.IDLE

    def _drop_body(self) -> None:
        """Answer though the body has not been read to its end.

        What is here already is skipped. More may be gigabytes, or may never come because the client waits
        for "100 Continue"; then the connection cannot serve another request and ends after this answer.
        """
        if not self.request_body:
            return
        left = self.unread
        if left is not None and left <= len(self.recv_buffer) and not self.expecting_continue:
            del self.recv_buffer[:left]
            self.request_bytes_left = 0
        else:
            self.keep_alive = False
            self.lingers = True
        self.expecting_continue = False
        self.request_body = None

    async def _linger(self) -> None:
        """Take in what the client still sends, for a while.

        A connection closed on data that nobody has read is reset, and then the client loses the answer too.
        """
        transport = self.protocol.transport
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        try:
            async with asyncio.timeout(LINGER_TOTAL):
                while True:
                    self.recv_buffer.clear()
                    async with asyncio.timeout(LINGER_IDLE):
                        await self._receive_more()
        except TimeoutError:
            pass  # it had its time; the connection is closed now


class ServerProtocol(HttpProtocol):
    """Sanic's protocol with the connection of this module."""

    HTTP_CLASS = Connection

    def data_received(self, data: bytes) -> None:
        """Take in data. While a request's head comes in, its time limit counts from its first byte."""
        before = self._time
        super().data_received(data)
        if self.http is None:
            return
        if self.http.stage is Stage.REQUEST:
            self._time = before
        if self.http.stage in (Stage.HANDLER, Stage.RESPONSE) and not self.http.request_body:
            self._refuse_flood()

    def resume_reading(self) -> None:
        """Read on where a large body stopped it: only who reads notices that the client has gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if not self._refuse_flood():
            transport.resume_reading()

    def _refuse_flood(self) -> bool:
        """End the connection of a client that sends on and on while it is being answered.

        Sanic would stop reading, and then nobody would notice that the client has gone.
        """
        transport = self.transport
        if transport is None or len(self.recv_buffer) < self.app.config.REQUEST_BUFFER_SIZE:
            return False
        transport.abort()
        return True


def check_head(head: bytes) -> None:
    """Refuse what is no head of a request.

    Args:
        head: All of it, without the empty line at its end.

    Raises:
        sanic.exceptions.BadRequest: It has a line that is no header.
    """
    if not HEAD.fullmatch(head):
        raise BadRequest("a line of the request's head is no header")


def connection_config() -> dict[str, Any]:
    """Sanic's settings, times in seconds and sizes in bytes.

    A model may take minutes to load and a client may read slowly, so an answer has no time limit. A head
    has: 60 s from its first byte. A connection between two requests is kept for 120 s.
    """
    return {
        "ACCESS_LOG": False,
        "AUTO_EXTEND": False,
        "KEEP_ALIVE_TIMEOUT": 120,
        "LOG_EXTRA": False,
        "MOTD": False,
        "REQUEST_MAX_HEADER_SIZE": 16384,
        "REQUEST_TIMEOUT": 60,
        "RESPONSE_TIMEOUT": math.inf,
        # It would write Sanic's methods anew from their source text when the server starts.
        "TOUCHUP": False,
    }
