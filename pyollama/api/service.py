"""One method for each route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from pyollama import __version__
from pyollama.api.blocking import iterate_in_thread
from pyollama.api.catalog import Catalog
from pyollama.api.decode import decode, read_object
from pyollama.api.details import Details, ModelEntry
from pyollama.api.errors import ApiError
from pyollama.api.inference import Answer, Inference
from pyollama.api.requests import ChatRequest, GenerateRequest
from pyollama.api.running import RunningModel
from pyollama.create import CreateRequest, Progress, create_model
from pyollama.errors import InvalidRequest, ModelNotFound, StoreError
from pyollama.scheduler import Scheduler
from pyollama.settings import Settings
from pyollama.store import Digest, Store

__all__ = ["API_LEVEL", "Answer", "Service"]

# The version of Ollama whose API this is; clients compare it.
API_LEVEL = "0.33.0"
# Bytes of an upload that are written at once.
WRITE_SIZE = 1 << 20


class Version(msgspec.Struct, frozen=True):
    """``/api/version``: the API level, and our own version."""

    version: str
    pyollama: str


class Models(msgspec.Struct, frozen=True):
    """``/api/tags``."""

    models: list[ModelEntry]


class Running(msgspec.Struct, frozen=True):
    """``/api/ps``."""

    models: list[RunningModel]


class Service:
    """What a server does, without the server. Belongs to one event loop.

    A method that answers with an `Answer` gives a struct for one JSON object, or an iterator for a line each. What is
    wrong before the first item is raised by the call or by the first step; closing the iterator cancels the work.

    Args:
        settings: Of the server.
        store: The models.

    Example::

        service = Service(Settings.from_environment(), Store.default())
        await service.start()
        answer = await service.generate(b'{"model": "tiny", "prompt": "Hi", "stream": false}')
        await service.close(5.0)
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._catalog = Catalog(store)
        self._scheduler = Scheduler(settings)
        self._inference = Inference(settings, self._catalog, self._scheduler)

    async def start(self) -> None:
        """Get ready."""
        await asyncio.to_thread(self._store.rename_legacy_blobs)

    async def close(self, deadline: float) -> None:
        """End every runner; those that take longer than ``deadline`` seconds are killed with their server."""
        await asyncio.wait_for(self._scheduler.close(), deadline)

    def version(self) -> Version:
        """``GET /api/version``."""
        return Version(API_LEVEL, __version__)

    async def tags(self) -> Models:
        """``GET /api/tags``."""
        return Models(await asyncio.to_thread(self._catalog.list))

    async def ps(self) -> Running:
        """``GET /api/ps``."""
        named = [(model, name) for model in self._scheduler.loaded() for name in model.names]
        details = await asyncio.to_thread(lambda: [self._details(name) for _, name in named])
        pairs = zip(named, details, strict=True)
        return Running([RunningModel.of(*pair, its) for pair, its in pairs if pair[0].ready])

    def _details(self, name: str) -> Details:
        try:
            return self._catalog.details(self._store.find(name))
        except (ModelNotFound, StoreError):  # deleted or damaged while it is loaded
            return Details()

    async def generate(self, body: bytes) -> Answer:
        """``POST /api/generate``. Raises as `Inference.generate`."""
        return await self._inference.generate(decode(body, GenerateRequest))

    async def chat(self, body: bytes) -> Answer:
        """``POST /api/chat``. Raises as `Inference.generate`."""
        return await self._inference.chat(decode(body, ChatRequest))

    async def create(self, body: bytes) -> Answer:
        """``POST /api/create``. Raises as `create_model`."""
        given = read_object(body)
        stream = given.get("stream", True)
        if not isinstance(stream, bool):
            raise InvalidRequest(f"stream must be true or false, got {stream!r:.60}")
        steps = iterate_in_thread(create_model(self._store, CreateRequest.read(given)))
        if stream:
            return steps
        last = Progress("")
        async for step in steps:
            last = step
        return last

    def has_blob(self, digest: str) -> bool:
        """``HEAD /api/blobs/:digest``. Raises InvalidDigest."""
        return self._store.has_blob(Digest.parse(digest))

    async def put_blob(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """``POST /api/blobs/:digest``: store a blob.

        Args:
            digest: As the client wrote it.
            chunks: The content.

        Returns:
            False where it was there already; then the content was not read.

        Raises:
            InvalidDigest: It is no digest.
            ApiError: The content has another digest.
            OSError: It could not be written.
        """
        if self.has_blob(digest):
            return False
        with self._store.new_blob() as blob:
            waiting = bytearray()
            async for chunk in chunks:
                waiting += chunk
                if len(waiting) >= WRITE_SIZE:
                    await asyncio.to_thread(blob.write, waiting)
                    waiting = bytearray()
            await asyncio.to_thread(blob.write, waiting)
            found, _, _ = await asyncio.to_thread(blob.finish)
        if found != digest:
            raise ApiError(400, f'digest mismatch, expected "{digest}", got "{found}"')
        return True
