"""Who may call: the Host check, and calls from web pages, on every route and every other answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec
import psutil
import pytest

from pyollama.server import make_app
from pyollama.server.guard import Guard
from pyollama.settings import ServerAddress, Settings

from .client import Reply, ask, exchange
from .stand_in import LOCAL, StandIn, ThreadServer

FOREIGN = "https://evil.example"
OWN_PAGE = "http://localhost:3000"
GUARD = Guard((*Settings().origins, "https://*.example.org", "https://exact.test"), check_host=True)
APP = make_app(StandIn(), LOCAL)  # type: ignore[arg-type]
ROUTES = sorted(
    (method, f"/{route.path}".replace("<digest:str>", "sha256:" + "0" * 64))
    for route in APP.router.routes
    for method in route.methods
)
# Answers that no route gives.
OTHERS = [
    *(("GET", "/nothing"), ("GET", "/api/tags/"), ("DELETE", "/api/chat"), ("POST", "/api/generate/")),
    *(("GET", "//"), ("BREW", "/coffee")),
]
ALL = [*ROUTES, *OTHERS]


def answer(port: int, method: str, path: str, host: str = "127.0.0.1", origin: str | None = None) -> Reply:
    headers = {"Host": host, **({} if origin is None else {"Origin": origin})}
    body = {"stream": False} if method == "POST" else None
    return ask(port, method, path, body, headers)


def test_routes() -> None:
    """Catches a route that appears, or is lost, without anybody noticing."""
    blob = "/api/blobs/sha256:" + "0" * 64
    assert (
        sorted(
            [
                *(("GET", "/"), ("HEAD", "/"), ("GET", "/api/version"), ("HEAD", "/api/version")),
                *(("GET", "/api/tags"), ("HEAD", "/api/tags"), ("GET", "/api/ps")),
                *(("POST", "/api/generate"), ("POST", "/api/chat"), ("POST", "/api/create")),
                *(("HEAD", blob), ("POST", blob)),
            ]
        )
        == ROUTES
    )


@pytest.mark.parametrize(("method", "path"), ALL)
def test_foreign_host(port: int, service: StandIn, method: str, path: str) -> None:
    """Catches a way in for a page whose name was pointed to this computer (DNS rebinding)."""
    for each in (method, "OPTIONS"):
        for origin in (None, "http://evil.example:11434", OWN_PAGE):
            reply = answer(port, each, path, "evil.example:11434", origin)
            assert (reply.status, reply.body) == (403, b"")
            assert "Access-Control-Allow-Origin" not in reply.headers
    assert service.events == []


@pytest.mark.parametrize(("method", "path"), ALL)
def test_foreign_origin(port: int, service: StandIn, method: str, path: str) -> None:
    """Catches a page from elsewhere whose request does something, though the page cannot see the answer."""
    for each in (method, "OPTIONS"):
        for origin in (FOREIGN, "null", "http://localhost.evil.example"):
            reply = answer(port, each, path, origin=origin)
            assert (reply.status, reply.body) == (403, b"")
            assert "Access-Control-Allow-Origin" not in reply.headers
    assert service.events == []


@pytest.mark.parametrize(("method", "path"), ALL)
def test_own_page(port: int, method: str, path: str) -> None:
    """Catches an answer that a page of this computer cannot read: an error or a redirect say."""
    plain = answer(port, method, path)
    reply = answer(port, method, path, origin=OWN_PAGE)
    assert (reply.status, reply.body) == (plain.status, plain.body)
    assert reply.headers["Access-Control-Allow-Origin"] == OWN_PAGE
    assert reply.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in reply.headers
    assert "Access-Control-Allow-Origin" not in plain.headers


@pytest.mark.parametrize(("method", "path"), ALL)
def test_preflight(port: int, method: str, path: str) -> None:
    """Catches a page that may not ask because the browser's question before it is not answered."""
    reply = answer(port, "OPTIONS", path, origin=OWN_PAGE)
    assert (reply.status, reply.body) == (204, b"")
    headers = reply.headers
    assert headers["Access-Control-Allow-Origin"] == OWN_PAGE
    assert headers["Access-Control-Allow-Methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    assert headers["Access-Control-Max-Age"] == "43200"
    allowed = headers["Access-Control-Allow-Headers"].lower().split(",")
    assert {"authorization", "content-type", "x-requested-with", "x-stainless-retry-count"} < set(allowed)
    assert len(allowed) == 18
    assert {part.strip() for part in headers["Vary"].split(",")} == {
        *("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
    }


def test_same_origin(port: int) -> None:
    """Catches a page of the server itself that is taken for a foreign one."""
    host = f"localhost:{port}"
    for scheme in ("http", "https"):
        reply = answer(port, "GET", "/api/tags", host, f"{scheme}://{host}")
        assert reply.status == 200
        assert "Access-Control-Allow-Origin" not in reply.headers


def test_options_by_name(port: int) -> None:
    """Catches OPTIONS answered otherwise than clients know it: 204 where Host is a name, else no such method."""
    assert answer(port, "OPTIONS", "/api/tags", "localhost").status == 204
    assert answer(port, "OPTIONS", "/api/tags", "127.0.0.1").status == 405


def test_tricks(port: int) -> None:
    """Catches a second header, or a name in the request's first line, that gets around the check."""
    end = b"Connection: close\r\n\r\n"
    for text, status in (
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", b"400"),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n",
            b"400",
        ),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n", b"403"),
        (b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nHost: localhost evil.example\r\n", b"403"),
        (b"GET / HTTP/1.1\r\nHost: \r\n", b"200"),
    ):
        assert exchange(port, text + end).split()[1] == status, text


LOCAL_HOSTS = [
    *("", "localhost", "LOCALHOST:11434", "127.0.0.1", "127.9.9.9:80", "[::1]:11434", "[::1]", "::1"),
    *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1:8080", "[fd00::1]", "0.0.0.0", "[::]:1"),
    *("a.localhost", "Printer.Local:1", "host.docker.internal", socket.gethostname(), "[::ffff:127.0.0.1]"),
]
FOREIGN_HOSTS = [
    *("evil.example", "localhost.evil.example", "notlocalhost", "local", "x.locals", "8.8.8.8", "172.32.0.1"),
    *("172.15.0.1", "192.169.0.1", "[2606:4700::1]", "127.0.0.1.evil.example", "[::1]evil.example", "[::1"),
    *("0x7f.1", "2130706433", "127.1", "localhost.", "169.254.169.254", "127.0.0.1:1:2", "a b"),
]


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_local_host(host: str) -> None:
    """Catches a name or address of this computer or its network that is refused."""
    assert GUARD.check("GET", host, None).status is None


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_other_host(host: str) -> None:
    """Catches a name that somebody else can own, or a spelling of an address that nobody uses."""
    assert GUARD.check("GET", host, None).status == 403


def test_addresses_of_this_computer() -> None:
    """Catches an address of an interface here that is refused."""
    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family == socket.AF_INET:
                assert GUARD.check("GET", f"{entry.address}:11434", None).status is None


@pytest.mark.parametrize(
    "origin",
    [
        *("http://localhost", "https://127.0.0.1:1", "http://0.0.0.0:8080", "HTTP://LOCALHOST:3000"),
        *(
            "app://obsidian.md",
            "file://",
            "tauri://localhost",
            "vscode-webview://1x2y",
            "vscode-file://vscode-app",
        ),
        *("https://a.example.org", "https://.example.org", "https://exact.test"),
    ],
)
def test_allowed_origin(origin: str) -> None:
    """Catches a built-in or configured origin that is refused."""
    verdict = GUARD.check("GET", "127.0.0.1:11434", origin)
    assert (verdict.status, verdict.headers["Access-Control-Allow-Origin"]) == (None, origin)


@pytest.mark.parametrize(
    "origin",
    [
        *("https://example.org", "http://a.example.org", "https://a.example.org:1", "https://exact.test:1"),
        *(
            "http://localhosts",
            "http://localhost.evil",
            "xapp://a",
            "null",
            "*",
            "https://*",
            "chrome-extension://a",
        ),
    ],
)
def test_refused_origin(origin: str) -> None:
    """Catches a wildcard that stands for more than it says."""
    for method in ("GET", "OPTIONS"):
        assert GUARD.check(method, "localhost", origin).status == 403


def test_all_origins() -> None:
    """Catches * answered with an origin, which a cache would then give to others."""
    guard = Guard(("*",), check_host=True)
    assert guard.check("GET", "localhost", FOREIGN).headers == {"Access-Control-Allow-Origin": "*"}
    assert guard.check("OPTIONS", "localhost", FOREIGN).status == 204
    assert guard.check("GET", "evil.example", FOREIGN).status == 403


def test_two_wildcards(caplog: pytest.LogCaptureFixture) -> None:
    """Catches an entry that nobody can mean and that allows something."""
    guard = Guard(("http://*.a.*",), check_host=False)
    assert guard.check("GET", "localhost", "http://x.a.y").status == 403
    assert "http://*.a.*" in caplog.text


@pytest.fixture(scope="module")
def public_port() -> Iterator[int]:
    settings = msgspec.structs.replace(LOCAL, address=ServerAddress(host="0.0.0.0", port=0))
    with ThreadServer(settings) as server:
        yield server.port


def test_public_address(public_port: int) -> None:
    """Catches a server for a network that refuses its own name, or pages from anywhere that it lets in."""
    assert answer(public_port, "GET", "/", "any.example").status == 200
    assert answer(public_port, "GET", "/", "any.example", FOREIGN).status == 403
    assert answer(public_port, "OPTIONS", "/", "any.example").status == 405
