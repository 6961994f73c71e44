"""The Sanic application: every request passes here, first the guard, then its route."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from typing import TYPE_CHECKING, Any, cast

from sanic import Request, Sanic
from sanic.config import Config
from sanic.exceptions import NotFound
from sanic.router import Router

from pyollama.server.body import skip_body
from pyollama.server.connection import Connection, check_head, connection_config
from pyollama.server.errors import ShuttingDown, answer_error
from pyollama.server.guard import Guard
from pyollama.server.response import Response, empty_response, error_response
from pyollama.server.routes import add_routes

if TYPE_CHECKING:
    from pyollama.api.service import Service
    from pyollama.settings import Settings

__all__ = ["Application", "ServerState", "make_app"]

log = logging.getLogger("pyollama")

# Sanic wants a name of its own for each application of a process.
_numbers = itertools.count()


class ServerState:
    """What belongs to one server: ``app.ctx``.

    Args:
        guard: Judges every request.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        # Tasks of the requests that are being answered.
        self.running: set[asyncio.Task[Any]] = set()
        # No new requests; then, after a while, the running ones are cancelled.
        self.stopping = False


class PlainRouter(Router):
    """Sanic's router, for paths that cannot confuse it: it fails on ``//`` and takes ``*`` for ``/``."""

    def get(self, path: str, method: str, host: str | None) -> Any:  # type: ignore[override]
        """Find the route of a path; the host plays no part."""
        if not path.startswith("/") or "//" in path:
            raise NotFound(f"there is no path {path!a}")
        return super().get(path, method, None)


class Application(Sanic[Config, ServerState]):
    """Sanic with one way in for all requests, whatever becomes of them."""

    async def handle_request(self, request: Request) -> None:
        """Answer one request whose head has been read."""
        connection = cast(Connection, request.stream)
        connection.upgrade_websocket = False
        task = asyncio.current_task()
        assert task is not None
        self.ctx.running.add(task)
        begin = time.perf_counter()
        try:
            if not await self._refuse(request):
                await super().handle_request(request)
        finally:
            self.ctx.running.discard(task)
            _log_request(request, time.perf_counter() - begin)

    async def _refuse(self, request: Request) -> bool:
        """Answer what the guard or the state of the server forbids; False: go on."""
        hosts = request.headers.getall("host", [])
        origins = request.headers.getall("origin", [])
        if len(hosts) > 1 or len(origins) > 1:
            await _send(request, error_response("more than one Host or Origin header", 400))
            return True
        # The host in a request target such as http://localhost/api/tags counts before the header.
        target = cast("bytes | None", request._parsed_url.host)
        host = target.decode("ascii") if target else (hosts[0].strip() if hosts else "")
        verdict = self.ctx.guard.check(request.method, host, origins[0].strip() if origins else None)
        request.ctx.headers = verdict.headers
        if verdict.status is not None:
            await _send(request, empty_response(verdict.status))
            return True
        if self.ctx.stopping:
            await _send(request, await answer_error(request, ShuttingDown()))
            return True
        return False

    async def dispatch(self, event: Any, *, context: Any = None, **_: Any) -> Any:
        """Sanic's signals. One is of use here; looking up who listens would cost time at every write."""
        if event == "http.lifecycle.read_head":
            check_head(context["head"])


async def _send(request: Request, response: Response) -> None:
    await skip_body(request)
    await request.respond(response)
    await response.send(end_stream=True)


def _log_request(request: Request, seconds: float) -> None:
    response = request.stream.response if request.stream is not None else None
    log.debug(
        "%s %a %s in %.3f s from %s",
        request.method,
        request.path,
        response.status if response is not None else "without an answer",
        seconds,
        request.ip,
    )


def make_app(service: Service, settings: Settings, *, check_host: bool | None = None) -> Application:
    """The application, ready to be served.

    Args:
        service: What answers the requests.
        settings: Origins and address.
        check_host: Whether the Host header must be one of this computer's; None: where the address in
            ``settings`` is a loopback address.
    """
    if check_host is None:
        check_host = settings.address.is_loopback
    config = Config(env_prefix="")
    config.update(connection_config())
    app = Application(
        f"pyollama-{next(_numbers)}",
        config=config,
        ctx=ServerState(Guard(settings.origins, check_host=check_host)),
        router=PlainRouter(),
        configure_logging=False,
    )
    app.exception(Exception)(answer_error)
    add_routes(app, service)
    return app
