"""A server from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
from sanic.server import AsyncioServer

from pyollama.server.app import Application, make_app
from pyollama.server.connection import ServerProtocol
from pyollama.server.listening import bind_sockets, is_loopback, shown_address

if TYPE_CHECKING:
    from pyollama.api.service import Service
    from pyollama.settings import Settings

__all__ = ["GRACE_SECONDS", "serve", "serve_service"]

log = logging.getLogger("pyollama")

# After a signal to end, in seconds: running requests may finish; then, cancelled, tell their clients; then
# the service may end its runners.
GRACE_SECONDS = 5.0
CANCEL_SECONDS = 1.0
CLOSE_SECONDS = 5.0
POLL_SECONDS = 0.02
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Connections that wait to be accepted.
BACKLOG = 1024

Ready = Callable[[str], None]


def serve(settings: Settings, on_ready: Ready | None = None, stop_fd: int | None = None) -> None:
    """Run the server until a signal ends it.

    SIGINT or SIGTERM ends it: no new connections, running requests get `GRACE_SECONDS`, then they are
    cancelled and every runner is ended. A second signal ends the process at once.

    Args:
        settings: Address, origins and all the rest.
        on_ready: Called once with the URL, as soon as clients can connect.
        stop_fd: A file descriptor of a pipe or socket; the server ends, as by a signal, when it is at its
            end. So a server can end with the program that holds the other end.

    Raises:
        OSError: The address cannot be listened on.
        StoreError: There is no model directory.

    Example::

        serve(Settings.from_environment(), on_ready=print)
    """
    from pyollama.api.service import Service
    from pyollama.store import Store

    serve_service(Service(settings, Store.default()), settings, on_ready, stop_fd)


def serve_service(
    service: Service, settings: Settings, on_ready: Ready | None = None, stop_fd: int | None = None
) -> None:
    """`serve` with a service of the caller's."""
    _set_up_logging(settings.debug)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(service, settings, on_ready, stop_fd))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop


def _set_up_logging(debug: bool) -> None:
    if not log.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in ("sanic.root", "sanic.server", "sanic.access", "sanic.websockets"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What Sanic did not expect is worth a line among ours.
    unexpected = logging.getLogger("sanic.error")
    unexpected.parent = log
    unexpected.setLevel(logging.ERROR)


async def _run(service: Service, settings: Settings, on_ready: Ready | None, stop_fd: int | None) -> None:
    sockets = bind_sockets(settings.address.bind_host, settings.address.port)
    servers: list[AsyncioServer] = []
    stop = asyncio.Event()
    try:
        app = make_app(service, settings, check_host=all(map(is_loopback, sockets)))
        with _stopping_by_signal(stop), _stopping_by_end_of_file(stop, stop_fd):
            try:
                await service.start()
                servers += [await _listen(app, each) for each in sockets]
                await servers[0].startup()  # type: ignore[no-untyped-call]
                for server in servers:
                    await server.start_serving()  # type: ignore[no-untyped-call]
                _announce(service, settings, sockets, on_ready)
                await stop.wait()
                log.info("ending: running requests have %.0f s", GRACE_SECONDS)
                await _end_requests(app, servers)
            finally:
                await _close(service)
    finally:
        for server in servers:
            if server.server is not None:
                server.server.close()
        for each in sockets:
            each.close()


async def _close(service: Service) -> None:
    try:
        await service.close(CLOSE_SECONDS)
    except TimeoutError:
        log.warning("the models did not end within %.0f s; they end with this process", CLOSE_SECONDS)


async def _listen(app: Application, bound: socket.socket) -> AsyncioServer:
    server = await app.create_server(
        sock=bound,
        protocol=ServerProtocol,
        backlog=BACKLOG,
        asyncio_server_kwargs={"start_serving": False},
    )
    assert server is not None
    return server


def _announce(
    service: Service, settings: Settings, sockets: list[socket.socket], on_ready: Ready | None
) -> None:
    host, port = sockets[0].getsockname()[:2]
    version = getattr(service.version(), "version", "")
    log.info("listening on %s (version %s)", ", ".join(_shown(each) for each in sockets), version)
    if not all(map(is_loopback, sockets)):
        log.warning(
            "ANYONE WHO CAN REACH %s CAN USE THIS SERVER, ITS MODELS AND ITS DISK: there is no "
            "authentication. Set OLLAMA_HOST to 127.0.0.1 or put it behind a proxy that checks who calls",
            shown_address(host, port),
        )
    if on_ready is not None:
        on_ready(msgspec.structs.replace(settings.address, port=port).url)


def _shown(bound: socket.socket) -> str:
    return shown_address(*bound.getsockname()[:2])


async def _end_requests(app: Application, servers: list[AsyncioServer]) -> None:
    """Stop accepting; let running requests finish, then cancel them, then cut what is left."""
    app.ctx.stopping = True
    for server in servers:
        if server.server is not None:
            server.server.close()
    await _until(lambda: not app.ctx.running, GRACE_SECONDS)
    if app.ctx.running:
        log.warning("ending: %d running requests are cancelled", len(app.ctx.running))
    for task in app.ctx.running:
        task.cancel()
    connections = [connection for server in servers for connection in server.connections]
    for connection in connections:
        connection.close_if_idle()
    await _until(lambda: not any(server.connections for server in servers), CANCEL_SECONDS)
    for server in servers:
        for connection in tuple(server.connections):
            connection.abort()


async def _until(is_done: Callable[[], bool], seconds: float) -> None:
    """Wait until something is done, or for so long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not is_done() and loop.time() < end:
        await asyncio.sleep(POLL_SECONDS)


@contextmanager
def _stopping_by_signal(stop: asyncio.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread alone
        return
    loop = asyncio.get_running_loop()
    received = 0

    def receive() -> None:
        nonlocal received
        received += 1
        if received > 1:
            # Whoever asks twice does not want to wait. Runners end with this process.
            os._exit(1)
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, receive)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def _stopping_by_end_of_file(stop: asyncio.Event, stop_fd: int | None) -> Iterator[None]:
    if stop_fd is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            if os.read(stop_fd, 4096):
                return
        except BlockingIOError:
            return
        except OSError as error:  # the other end of a socket was reset
            log.debug("the end of file descriptor %d: %s", stop_fd, error)
        loop.remove_reader(stop_fd)
        stop.set()

    loop.add_reader(stop_fd, read)
    try:
        yield
    finally:
        loop.remove_reader(stop_fd)
