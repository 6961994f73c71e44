"""A service that does what its requests say, and a server around it.

Run as a program it is such a server: ``python -P stand_in.py [--grace SECONDS] [--close SECONDS]``, with the
settings of the environment; its standard input is the file whose end stops it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from pyollama.errors import InvalidDigest
from pyollama.server import lifecycle
from pyollama.settings import ServerAddress, Settings


class Order(msgspec.Struct):
    """What a request wants to happen."""

    lines: int = 3
    pause: float = 0.0  # seconds before each line
    size: int = 0  # characters of a line
    stream: bool = True
    wait: float = 0.0  # seconds before there is an answer at all
    error: str = ""
    error_after: int = -1  # so many lines; -1: at once


class Line(msgspec.Struct):
    number: int
    text: str = ""


class Names(msgspec.Struct):
    models: list[str]


class Version(msgspec.Struct):
    version: str


class StandIn:
    """The service. ``events`` says what happened, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.blobs: dict[str, int] = {}
        self.sent = 0
        self.body = b""
        self.close_seconds = 0.0

    async def start(self) -> None:
        self.events.append("started")

    async def close(self, deadline: float) -> None:
        self.events.append("closing")
        await asyncio.sleep(self.close_seconds)
        self.events.append("closed")

    async def generate(self, body: bytes) -> Any:
        self.body = body
        order = msgspec.json.decode(body, type=Order)
        self.events.append("asked")
        try:
            await asyncio.sleep(order.wait)
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise
        if order.error and order.error_after < 0:
            raise ValueError(order.error)
        if not order.stream:
            return Line(0, "x" * order.size)
        return self._lines(order)

    async def _lines(self, order: Order) -> AsyncIterator[Line]:
        try:
            for number in range(order.lines):
                if order.error and number == order.error_after:
                    raise ValueError(order.error)
                await asyncio.sleep(order.pause)
                self.sent = number
                yield Line(number, "x" * order.size)
            self.events.append("finished")
        finally:
            self.events.append("ended")

    async def chat(self, body: bytes) -> Any:
        return await self.generate(body)

    async def create(self, body: bytes) -> Any:
        return await self.generate(body)

    async def tags(self) -> Names:
        return Names(["tiny <é>"])

    async def ps(self) -> Names:
        return Names([])

    def version(self) -> Version:
        return Version("0.33.0")

    def has_blob(self, digest: str) -> bool:
        if len(digest) != 71:
            raise InvalidDigest("invalid digest format", digest=digest)
        return digest in self.blobs

    async def put_blob(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        if self.has_blob(digest):
            return False
        found, size = hashlib.sha256(), 0
        try:
            async for chunk in chunks:
                found.update(chunk)
                size += len(chunk)
                self.events.append("chunk")
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise
        if f"sha256:{found.hexdigest()}" != digest:
            raise ValueError(f'digest mismatch, expected "{digest}", got "sha256:{found.hexdigest()}"')
        self.blobs[digest] = size
        return True


LOCAL = Settings(address=ServerAddress(port=0))


class ThreadServer:
    """A server with a stand-in, in a thread of this process.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: Settings = LOCAL) -> None:
        self.service = StandIn()
        self.url = ""
        self._ready = threading.Event()
        self._read_end, self._write_end = os.pipe()
        self._thread = threading.Thread(target=self._run, args=(settings,))

    def _run(self, settings: Settings) -> None:
        lifecycle.serve_service(self.service, settings, self._is_ready, self._read_end)  # type: ignore[arg-type]

    def _is_ready(self, url: str) -> None:
        self.url = url
        self._ready.set()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def __enter__(self) -> ThreadServer:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write_end)
        self._thread.join(20)
        os.close(self._read_end)
        assert not self._thread.is_alive()


def main() -> None:
    import argparse
    import sys

    parser = argparse.ArgumentParser()
    parser.add_argument("--grace", type=float, default=lifecycle.GRACE_SECONDS)
    parser.add_argument("--close", type=float, default=0.0)
    arguments = parser.parse_args()
    lifecycle.GRACE_SECONDS = arguments.grace
    service = StandIn()
    service.close_seconds = arguments.close
    lifecycle.serve_service(service, Settings.from_environment(), lambda url: print(url, flush=True), 0)  # type: ignore[arg-type]
    print(*service.events)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
