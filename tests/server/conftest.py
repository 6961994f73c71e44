"""A server with a stand-in for the service, once for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .stand_in import StandIn, ThreadServer


@pytest.fixture(scope="module")
def thread_server() -> Iterator[ThreadServer]:
    with ThreadServer() as server:
        yield server


@pytest.fixture
def server(thread_server: ThreadServer) -> ThreadServer:
    """The server; what other tests did to its service is forgotten."""
    thread_server.service.events.clear()
    return thread_server


@pytest.fixture
def port(server: ThreadServer) -> int:
    return server.port


@pytest.fixture
def service(server: ThreadServer) -> StandIn:
    return server.service
