"""Who may call: the check of the Host header and the rules for calls from web pages (CORS)."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import msgspec

__all__ = ["Guard", "Verdict"]

log = logging.getLogger("pyollama")

HOST_NAMES = ("", "localhost")
# Names that public DNS does not give out, so that no page from elsewhere can have one of them.
HOST_SUFFIXES = (".localhost", ".local", ".internal")
PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))

_STAINLESS = (
    "Arch Async Custom-Poll-Interval Helper-Method Lang Os Package-Version Poll-Helper Retry-Count Runtime "
    "Runtime-Version Timeout"
)
ALLOWED_HEADERS = (
    *("Authorization", "Content-Type", "User-Agent", "Accept", "X-Requested-With", "Openai-Beta"),
    *(f"X-Stainless-{name}" for name in _STAINLESS.split()),
)
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS",
    "Access-Control-Allow-Headers": ",".join(ALLOWED_HEADERS),
    "Access-Control-Max-Age": "43200",
}
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Verdict(msgspec.Struct, frozen=True):
    """What the guard says about a request.

    Args:
        status: Answer with this status and no body; None: let the request through.
        headers: What the answer carries, whoever gives it.
    """

    status: int | None = None
    headers: dict[str, str] = {}


class Guard:
    """The rules for every request, whatever its path.

    A page in a browser can send requests to this computer. It says in Origin where it comes from, and is
    refused unless that is allowed. A page can also let its own name point to this computer (DNS rebinding);
    then there is no foreign Origin, but the Host header has that name.

    Args:
        origins: Allowed origins, such as ``https://example.com``. One ``*`` inside stands for anything; ``*``
            alone allows all.
        check_host: Whether Host must name this computer or its local network: where the server listens on
            loopback addresses alone.

    Example::

        Guard((), check_host=True).check("GET", "evil.example:11434", None).status   # 403
    """

    def __init__(self, origins: Iterable[str], *, check_host: bool) -> None:
        lower = [origin.lower() for origin in origins]
        self.allows_all = "*" in lower
        self.check_host = check_host
        self._exact: set[str] = set()
        self._wild: list[tuple[str, str]] = []
        for origin in lower:
            start, star, end = origin.partition("*")
            if not star:
                self._exact.add(origin)
            elif "*" in end:
                log.warning("the origin %a is ignored: only one * can be in it", origin)
            else:
                self._wild.append((start, end))

    def check(self, method: str, host: str, origin: str | None) -> Verdict:
        """Judge a request.

        Args:
            method: Its method.
            host: Its Host header; empty where it has none.
            origin: Its Origin header.
        """
        by_name = False
        if self.check_host:
            name = _without_port(host)
            by_name = _is_local_name(name)
            if not by_name and not _is_local_address(name):
                return Verdict(403)
        if origin and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            return self._judge_origin(method, origin)
        return Verdict(204) if by_name and method == "OPTIONS" else Verdict()

    def _judge_origin(self, method: str, origin: str) -> Verdict:
        if not self.allows_origin(origin):
            return Verdict(403)
        allow = {"Access-Control-Allow-Origin": "*" if self.allows_all else origin}
        if method == "OPTIONS":
            vary = {} if self.allows_all else {"Vary": PREFLIGHT_VARY}
            return Verdict(204, {**allow, **PREFLIGHT, **vary})
        return Verdict(None, allow if self.allows_all else {**allow, "Vary": "Origin"})

    def allows_origin(self, origin: str) -> bool:
        """Whether a page from there may call."""
        text = origin.lower()
        return (
            self.allows_all
            or text in self._exact
            or any(
                len(text) >= len(start) + len(end) and text.startswith(start) and text.endswith(end)
                for start, end in self._wild
            )
        )


def _without_port(host: str) -> str:
    """The name or address in a Host header, in lower case, without brackets."""
    host = host.lower()
    if host.startswith("["):
        address, end, rest = host[1:].partition("]")
        return address if end and rest[:1] in ("", ":") else host
    return host.partition(":")[0] if host.count(":") == 1 else host


def _is_local_name(name: str) -> bool:
    return name in HOST_NAMES or name.endswith(HOST_SUFFIXES) or name == socket.gethostname().lower()


def _is_local_address(name: str) -> bool:
    try:
        address = ip_address(name)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return (
        address.is_loopback
        or address.is_unspecified
        or any(address in network for network in PRIVATE if network.version == address.version)
        or address in _own_addresses()
    )


def _own_addresses() -> set[IPv4Address | IPv6Address]:
    """Addresses of this computer's interfaces; asked for anew, because they come and go."""
    import psutil

    return {
        ip_address(entry.address.partition("%")[0])
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    }
