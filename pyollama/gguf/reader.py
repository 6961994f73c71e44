"""Reading GGUF piece by piece, in bounded memory, with an error that names the piece.

The file is read through one buffer, not mapped: a mapped file that another process cuts short kills the
reader with a signal, a read just ends early.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import BinaryIO

from pyollama.errors import InvalidModelFile, ModelNotFound

__all__ = ["Reader"]

CHUNK = 1 << 18
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class Reader:
    """A GGUF file open for reading, and a position in it.

    Args:
        path: The file.
        limit: Bytes from the start that may be read; what goes on behind them is refused.

    Raises:
        ModelNotFound: No such file.
        PermissionError: It may not be read.
        InvalidModelFile: It is not a regular file.
    """

    def __init__(self, path: str | os.PathLike[str], limit: int) -> None:
        self.path = os.fspath(path)
        self.position = 0
        self._buffer = b""
        self._start = 0  # of the buffer, in the file
        self._limit = limit
        # Looked at before it is opened: opening a named pipe would wait for a writer.
        try:
            mode = os.stat(self.path).st_mode
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelNotFound(f"{self.path}: no such file", name=self.path) from error
        except ValueError as error:  # a NUL in the path
            raise ModelNotFound(f"{self.path!r}: not a path", name=self.path) from error
        if not stat.S_ISREG(mode):
            raise self.error("it is a directory" if stat.S_ISDIR(mode) else "it is not a regular file")
        self._file: BinaryIO = open(self.path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        found = os.fstat(self._file.fileno())
        self.size = found.st_size
        # Without the times: a blob that another model takes over is touched, and stays what it is.
        self.identity = (found.st_dev, found.st_ino, found.st_size)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def error(self, reason: str) -> InvalidModelFile:
        return InvalidModelFile(path=self.path, reason=reason)

    @property
    def remaining(self) -> int:
        """Bytes of the file behind the position."""
        return self.size - self.position

    def take(self, n: int, what: str) -> bytes:
        """The next ``n`` bytes; ``what`` they are, for the error."""
        if n > self.remaining:
            raise self._ends_in(what)
        if self.position + n > self._limit:
            raise self.error(f"the header is larger than {self._limit} bytes")
        if self.position + n > self._start + len(self._buffer) or self.position < self._start:
            self._fill(n)
        begin = self.position - self._start
        piece = self._buffer[begin : begin + n]
        if len(piece) < n:  # cut short by somebody since it was opened
            raise self._ends_in(what)
        self.position += n
        return piece

    def u32(self, what: str) -> int:
        return int(_U32.unpack(self.take(4, what))[0])

    def u64(self, what: str) -> int:
        return int(_U64.unpack(self.take(8, what))[0])

    def string(self, longest: int, what: str) -> bytes:
        """A length and that many bytes."""
        length = self.u64(f"the length of {what}")
        if length > self.remaining:
            raise self.error(f"{what} is {length} bytes long, the file has {self.remaining} left")
        if length > longest:
            raise self.error(f"{what} is {length} bytes long, at most {longest} are allowed")
        return self.take(length, what)

    def skip(self, n: int, what: str) -> None:
        if n > self.remaining:
            raise self._ends_in(what)
        self.position += n

    def skip_strings(self, count: int, what: str) -> None:
        """Step over ``count`` strings. Quick: it is most of the time of reading a header."""
        unpack = _U64.unpack_from
        while count:
            buffer, begin = self._window(8, what)
            at, last = begin, len(buffer) - 8
            while count and at <= last:
                at += 8 + unpack(buffer, at)[0]
                count -= 1
            self.position += at - begin
            if self.position > self.size:
                raise self.error(f"a string in {what} goes beyond the end of the file")

    def strings(self, count: int, what: str) -> list[bytes]:
        """The next ``count`` strings."""
        found: list[bytes] = []
        append, unpack = found.append, _U64.unpack_from
        while count:
            buffer, begin = self._window(8, what)
            at, last = begin, len(buffer) - 8
            while count and at <= last:
                end = at + 8 + unpack(buffer, at)[0]
                if end > len(buffer):
                    break
                append(buffer[at + 8 : end])
                at = end
                count -= 1
            self.position += at - begin
            if count and at <= last:  # the string goes on behind the buffer
                append(self.string(self._limit, what))
                count -= 1
        return found

    def _window(self, n: int, what: str) -> tuple[bytes, int]:
        """The buffer, and where in it the position is, with at least ``n`` bytes behind it."""
        if n > self.remaining:
            raise self._ends_in(what)
        if self.position + n > self._limit:
            raise self.error(f"the header is larger than {self._limit} bytes")
        if not self._start <= self.position <= self._start + len(self._buffer) - n:
            self._fill(n)
            if len(self._buffer) < n:
                raise self._ends_in(what)
        return self._buffer, self.position - self._start

    def _fill(self, n: int) -> None:
        self._file.seek(self.position)
        want = min(max(n, CHUNK), self.remaining)
        pieces = []
        while want and (piece := self._file.read(want)):
            pieces.append(piece)
            want -= len(piece)
        self._buffer = b"".join(pieces)
        self._start = self.position

    def _ends_in(self, what: str) -> InvalidModelFile:
        return self.error(f"the file ends inside {what}: it has {self.size} bytes and is not complete")
