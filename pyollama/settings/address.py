"""The address of a server, as ``OLLAMA_HOST`` gives it."""

from __future__ import annotations

import ipaddress
import logging
import re

import msgspec

from pyollama.errors import InvalidRequest

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "ServerAddress", "strip_quotes"]

log = logging.getLogger("pyollama")

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 11434
# The port of an address that names a scheme and no port.
_SCHEME_PORTS = {"http": 80, "https": 443}
# The one name that means another scheme.
_BARE_NAMES = {"ollama.com": "https://ollama.com"}
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::(.*))?", re.DOTALL)
_FORBIDDEN = re.compile(r"[\s\x00-\x1f\x7f/\\?#@\[\]:<>\"'`{}|^]")
_FORBIDDEN_IN_PATH = re.compile(r"[^!-~]|[?#\"'<>\\^`{|}]")


class ServerAddress(msgspec.Struct, frozen=True):
    """Where a server listens, and how to reach it.

    Args:
        scheme: ``http`` or ``https``.
        host: Name or number, without brackets; empty: all interfaces.
        port: 0 to 65535; 0: the system chooses one when a server binds.
        path: Prefix of every path at this server, such as ``/ollama``; empty if none.

    Example::

        address = ServerAddress.parse("0.0.0.0:8080")
        str(address), address.url   # "http://0.0.0.0:8080", "http://127.0.0.1:8080"
    """

    scheme: str = "http"
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """Read ``[scheme://]host[:port][/path]``, every part of it optional.

        Spaces and quotes around it are dropped. A port that is none is replaced by the scheme's usual one, with
        a warning in the log.

        Raises:
            InvalidRequest: The scheme is neither http nor https, or the host or the path has a character that
                none may have.
        """
        text = strip_quotes(text)
        text = _BARE_NAMES.get(text, text)
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest, usual_port = "http", text, DEFAULT_PORT
        elif scheme.lower() in _SCHEME_PORTS:
            scheme = scheme.lower()
            usual_port = _SCHEME_PORTS[scheme]
        else:
            raise InvalidRequest(f"the scheme of the address {text!r:.200} must be http or https")
        where, _, path = rest.partition("/")
        host, port = _host_and_port(where)
        if _FORBIDDEN.search(host) and not _is_ipv6(host):
            raise InvalidRequest(f"the host of the address {text!r:.200} is not valid: {host!r:.200}")
        if bad := _FORBIDDEN_IN_PATH.search(path):
            raise InvalidRequest(f"the path of the address {text!r:.200} must not have {bad.group()!a}")
        path = path.rstrip("/")
        return cls(scheme, host, _port(port, usual_port, text), f"/{path}" if path else "")

    @property
    def url(self) -> str:
        """As to connect to it: an address that means all interfaces becomes this machine's own."""
        return self._written(self.connect_host)

    @property
    def connect_host(self) -> str:
        """The host to connect to."""
        number = _number(self.host)
        if not self.host or number == ipaddress.IPv4Address(0):
            return "127.0.0.1"
        return "::1" if number == ipaddress.IPv6Address(0) else self.host

    @property
    def bind_host(self) -> str:
        """The host to listen at; empty: all interfaces."""
        return self.host

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. An address that means all interfaces is none."""
        number = _number(self.host)
        return self.host.lower() == "localhost" if number is None else number.is_loopback

    def __str__(self) -> str:
        return self._written(self.host)

    def _written(self, host: str) -> str:
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}{self.path}"


def strip_quotes(text: str) -> str:
    """Without the spaces and quotes around it, which some shells and service files leave in a variable."""
    return text.strip().strip("\"'").strip()


def _host_and_port(where: str) -> tuple[str, str | None]:
    """Take ``host:port`` apart; the port is None if there is none."""
    if not where:
        return DEFAULT_HOST, None
    if bracketed := _BRACKETED.fullmatch(where):
        host, port = bracketed.groups()
        # With its brackets what is no IPv6 address is refused as a host.
        return (_written_shortly(host) if _is_ipv6(host) else where), port
    if _is_ipv6(where):
        return _written_shortly(where), None
    host, separator, port = where.rpartition(":")
    return (host, port) if separator else (where, None)


def _port(port: str | None, usual: int, text: str) -> int:
    if port is None:
        return usual
    # isdecimal() alone would take digits of every script.
    if port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535:
        return int(port)
    log.warning(
        "the port of the address %.200r must be a number from 0 to 65535, not %.40r: using %d",
        text,
        port,
        usual,
    )
    return usual


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:  # a name
        return None


def _is_ipv6(host: str) -> bool:
    return isinstance(_number(host), ipaddress.IPv6Address)


def _written_shortly(host: str) -> str:
    return str(ipaddress.IPv6Address(host))
