"""Exceptions to answers: Sanic's own, ours, and those that nobody expected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sanic import Request, Sanic
from sanic.constants import HTTP_METHODS
from sanic.exceptions import BadRequest, MethodNotAllowed, NotFound, PayloadTooLarge, SanicException

from pyollama.api import http_error
from pyollama.errors import Error
from pyollama.server.body import skip_body
from pyollama.server.response import Response, empty_response, error_response, text_response

__all__ = ["ShuttingDown", "answer_error", "cancelled_by_stop", "status_and_message"]

AnySanic = Sanic[Any, Any]

log = logging.getLogger("pyollama")


class ShuttingDown(Error):
    """Raised in requests that are cancelled, or not begun, because the server ends."""

    def __init__(self, message: str = "the server is shutting down") -> None:
        super().__init__(message)


@contextmanager
def cancelled_by_stop(request: Request) -> Iterator[None]:
    """Make an error that the client can be told of a cancellation that came from the end of the server.

    Raises:
        ShuttingDown: The request was cancelled, and not because its client went away.
    """
    try:
        yield
    except asyncio.CancelledError:
        client = request.conn_info
        if not request.app.ctx.stopping or client is None or client.lost:
            raise
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        raise ShuttingDown from None


def status_and_message(request: Request, error: Exception) -> tuple[int, str]:
    """Status and message for an exception. What is our fault, a status of 500 or more, is logged.

    Args:
        request: What was asked.
        error: Any exception.
    """
    if isinstance(error, ShuttingDown):
        return 503, error.message
    if isinstance(error, SanicException):
        status, message = error.status_code, str(error)
        if request.method == "NONE":  # Sanic's word for a head that was not understood
            if isinstance(error, PayloadTooLarge):
                status = 431
            elif isinstance(error, BadRequest):
                message = "this is not a valid HTTP request"
    else:
        status, message = http_error(error)
    if status >= 500:
        # An exception of ours says it all; of another the place is needed.
        trace = None if isinstance(error, Error) else error
        log.error("%s %a: %d %s", request.method, request.path, status, message, exc_info=trace)
    return status, message


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer to a request that failed before its answer began."""
    await skip_body(request)
    if isinstance(error, NotFound):
        return _redirect(request) or text_response("404 page not found", 404)
    if isinstance(error, MethodNotAllowed):
        allow = ", ".join(_methods(request.app, request.path))
        return text_response("405 method not allowed", 405, {"Allow": allow})
    status, message = status_and_message(request, error)
    return error_response(message, status)


def _redirect(request: Request) -> Response | None:
    """To the known path that differs from this one by a slash at its end."""
    path = request.path
    other = path[:-1] if path.endswith("/") else f"{path}/"
    if "//" in path or not _methods(request.app, other):
        return None
    query = f"?{request.query_string}" if request.query_string else ""
    return empty_response(301 if request.method == "GET" else 307, {"Location": f"{other}{query}"})


def _methods(app: AnySanic, path: str) -> list[str]:
    """The methods of a path; none where there is no such path."""
    methods = []
    for method in HTTP_METHODS:
        try:
            app.router.get(path, method, None)
        except (NotFound, MethodNotAllowed):
            continue
        methods.append(str(method))
    return methods
