"""The sockets that the server listens on."""

from __future__ import annotations

import errno
import os
import socket
from ipaddress import ip_address
from typing import Any

__all__ = ["bind_sockets", "is_loopback", "shown_address"]

# Errors of an address family, or an address of a name, that this computer does not have.
NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def bind_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to an address, not listening yet.

    Args:
        host: An address, a name, or empty for all addresses of both families.
        port: The port; 0 takes a free one.

    Returns:
        One socket; several for a name that has several addresses here, all with the same port.

    Raises:
        OSError: The address is in use, or not one of this computer's. The message says which.

    Example::

        bind_sockets("127.0.0.1", 0)[0].getsockname()   # ("127.0.0.1", 40123)
    """
    if not host:
        try:
            return [_bind(socket.AF_INET6, ("::", port))]  # takes IPv4 too
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
        return [_bind(socket.AF_INET, ("0.0.0.0", port))]
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, (name, _, *scope) in _addresses(host, port):
            same_port = bound[0].getsockname()[1] if bound else port
            try:
                bound.append(_bind(family, (name, same_port, *scope)))
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                missing = error
        if missing is not None and not bound:
            raise missing
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


def _addresses(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OSError(f"listen tcp: lookup {host}: {reason}; set OLLAMA_HOST to an address") from error
    addresses = dict.fromkeys((int(family), address) for family, _, _, _, address in found)
    # IPv4 first: it is what most clients try.
    return sorted(addresses, key=lambda entry: entry[0] != socket.AF_INET)


def _bind(family: int, address: tuple[Any, ...]) -> socket.socket:
    bound: socket.socket | None = None
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":
            # A restarted server need not wait until the old connections are forgotten.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it: a client that lost its network is noticed in the end.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        bound.bind(address)
        bound.setblocking(False)
    except OSError as error:
        if bound is not None:
            bound.close()
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        complaint = OSError(f"listen tcp {shown_address(*address[:2])}: bind: {reason}")
        complaint.errno = error.errno
        raise complaint from error
    return bound


def is_loopback(bound: socket.socket) -> bool:
    """Whether only programs on this computer can reach the socket."""
    return ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def shown_address(host: str, port: int) -> str:
    """``127.0.0.1:11434``, or ``[::1]:11434``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
