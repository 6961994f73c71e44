"""Reading the body of a request, whatever its Content-Type says."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from sanic import Request
from sanic.exceptions import BadRequest, PayloadTooLarge, RequestTimeout

from pyollama.server.connection import Connection, ServerProtocol

__all__ = ["BODY_IDLE", "MAX_BODY", "MAX_UNUSED_BODY", "body_chunks", "read_body", "skip_body"]

# The largest body that is held in memory, in bytes: room for images, sent as base64.
MAX_BODY = 256 * 2**20
# The largest body that is read though nobody wants it, in bytes: the connection stays usable.
MAX_UNUSED_BODY = 65536
# How long a client may send nothing while its body is being read, in seconds.
BODY_IDLE = 120.0


async def body_chunks(request: Request) -> AsyncGenerator[bytes, None]:
    """The body in pieces, as it comes in. Nothing is read ahead: who takes them slowly slows the client.

    Raises:
        sanic.exceptions.BadRequest: The chunks are not valid HTTP.
        sanic.exceptions.RequestTimeout: Nothing came for `BODY_IDLE` seconds.
    """
    connection = cast(Connection, request.stream)
    while connection.request_body:
        try:
            async with asyncio.timeout(BODY_IDLE):
                data = await connection.read()
        except TimeoutError:
            connection.keep_alive = False
            raise RequestTimeout(f"no data of the request body came for {BODY_IDLE:.0f} s") from None
        if data:
            yield data
    cast(ServerProtocol, connection.protocol).resume_reading()


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """The whole body.

    Args:
        request: Its request.
        limit: The most bytes that are taken.

    Raises:
        sanic.exceptions.PayloadTooLarge: The body is longer, or says it is.
    """
    too_large = f"the request body is larger than {limit:,} bytes; that is the most this server takes"
    connection = cast(Connection, request.stream)
    if (connection.unread or 0) > limit:
        raise PayloadTooLarge(too_large)
    # It gives its bytes away without a copy, and small pieces cost little.
    body = io.BytesIO()
    async with aclosing(body_chunks(request)) as chunks:
        async for chunk in chunks:
            if body.tell() + len(chunk) > limit:
                raise PayloadTooLarge(too_large)
            body.write(chunk)
    return body.getvalue()


async def skip_body(request: Request) -> None:
    """Read what is left of a small body, so that the connection can serve the next request.

    A large one is left to `Connection`, which ends the connection after the answer. So is one whose client
    waits for "100 Continue": it may never send it.
    """
    connection = cast(Connection, request.stream)
    left = connection.unread
    if left is None or left > MAX_UNUSED_BODY or connection.expecting_continue:
        return
    try:
        async for _ in body_chunks(request):
            pass
    except (BadRequest, RequestTimeout):
        pass  # the connection ends; the answer is the one to what was asked
