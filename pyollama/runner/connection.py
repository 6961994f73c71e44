"""The runner's end of the socket pair."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import msgspec

from pyollama.runner.messages import MAX_FRAME, FromRunner, ToRunner, encode_frame

__all__ = ["Connection"]

_decode = msgspec.msgpack.Decoder(ToRunner).decode


class Connection:
    """Sends and receives whole messages on a blocking socket. Any thread may send, one receives.

    A send waits while the server does not read: what the engine generates meanwhile is merged.

    Args:
        sock: A connected stream socket; it belongs to the connection from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._stream = sock.makefile("rb")
        self._lock = threading.Lock()

    def send(self, message: FromRunner) -> None:
        """Send a message. Raises OSError where the server is gone."""
        frame = encode_frame(message)
        with self._lock:
            self._socket.sendall(frame)

    def received(self) -> Iterator[ToRunner]:
        """The messages as they come, until the server closes its end.

        Raises:
            msgspec.DecodeError: It is not a message: the two ends are of different versions.
        """
        while len(head := self._stream.read(4)) == 4:
            size = int.from_bytes(head, "little")
            if size > MAX_FRAME:
                raise msgspec.DecodeError(f"a frame says that it has {size} bytes")
            data = self._stream.read(size)
            if len(data) < size:
                return
            yield _decode(data)
