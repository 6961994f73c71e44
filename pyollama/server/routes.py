"""The routes, and how an answer of the service is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
from sanic import Request, Sanic

from pyollama.server.body import body_chunks, read_body, skip_body
from pyollama.server.errors import cancelled_by_stop, status_and_message
from pyollama.server.response import (
    NDJSON,
    Response,
    empty_response,
    encode,
    error_body,
    error_response,
    json_response,
    text_response,
)

if TYPE_CHECKING:
    from pyollama.api.service import Answer, Service

__all__ = ["add_routes"]

Handler = Callable[..., Coroutine[Any, Any, Response | None]]


def add_routes(app: Sanic[Any, Any], service: Service) -> None:
    """Add every route of the API.

    Args:
        app: Where to.
        service: What answers.
    """

    async def alive(request: Request) -> Response:
        await skip_body(request)
        return text_response("Ollama is running", 200)

    async def version() -> msgspec.Struct:
        return service.version()

    read = ("GET", "HEAD")
    _add(app, "/", read, alive)
    _add(app, "/api/version", read, _getter(version))
    _add(app, "/api/tags", read, _getter(service.tags))
    _add(app, "/api/ps", ("GET",), _getter(service.ps))
    _add(app, "/api/generate", ("POST",), _poster(service.generate))
    _add(app, "/api/chat", ("POST",), _poster(service.chat))
    _add(app, "/api/create", ("POST",), _poster(service.create))

    async def has_blob(request: Request, digest: str) -> Response:
        await skip_body(request)
        if service.has_blob(digest):
            return empty_response(200)
        return error_response(f'blob "{digest}" not found', 404)

    async def put_blob(request: Request, digest: str) -> Response:
        async with aclosing(body_chunks(request)) as chunks:
            with cancelled_by_stop(request):
                created = await service.put_blob(digest, chunks)
        await skip_body(request)
        return empty_response(201 if created else 200)

    _add(app, "/api/blobs/<digest:str>", ("HEAD",), has_blob)
    _add(app, "/api/blobs/<digest:str>", ("POST",), put_blob)


def _add(app: Sanic[Any, Any], path: str, methods: tuple[str, ...], handler: Handler) -> None:
    # stream: Sanic leaves the body to us.
    name = f"{methods[0].lower()} {path}"
    app.add_route(
        handler, path, methods, strict_slashes=True, stream=True, name=_identifier(name), unquote=True
    )


def _identifier(text: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in text)


def _getter(call: Callable[[], Awaitable[msgspec.Struct]]) -> Handler:
    async def handle(request: Request) -> Response:
        await skip_body(request)
        with cancelled_by_stop(request):
            return json_response(await call())

    return handle


def _poster(call: Callable[[bytes], Awaitable[Answer]]) -> Handler:
    async def handle(request: Request) -> Response | None:
        with cancelled_by_stop(request):
            answer = await call(await read_body(request))
        if isinstance(answer, msgspec.Struct):
            return json_response(answer)
        return await _send_lines(request, answer)

    return handle


async def _send_lines(request: Request, items: AsyncIterator[msgspec.Struct]) -> Response | None:
    """Write a stream, a line for each item as soon as it is there.

    Nothing is sent before the first item, so that an error up to then has its own status. The next item is
    asked for when the client's connection has taken the last one.

    Returns:
        None: the answer has been sent.
    """
    try:
        with cancelled_by_stop(request):
            item = await anext(items, None)
        response = Response(content_type=NDJSON)
        await request.respond(response)
        if response.until_close:
            await response.send(b"")  # the head alone: Sanic would frame a line that goes with it
        try:
            while item is not None:
                await response.send(encode(item) + b"\n")
                with cancelled_by_stop(request):
                    item = await anext(items, None)
        except Exception as error:
            _, message = status_and_message(request, error)
            await response.send(error_body(message) + b"\n")
        await response.send(end_stream=True)
        return None
    finally:
        await _close(items)


async def _close(items: AsyncIterator[msgspec.Struct]) -> None:
    """End whatever makes the items, also when this request is cancelled for a second time meanwhile."""
    close = getattr(items, "aclose", None)
    if close is not None:
        await asyncio.shield(asyncio.ensure_future(close()))
