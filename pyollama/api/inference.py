"""Generate and chat: from a request to a stream of answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from pyollama.api.catalog import Catalog
from pyollama.api.errors import ApiError
from pyollama.api.names import find_model
from pyollama.api.requests import ChatRequest, GenerateRequest
from pyollama.api.responses import Metrics, TextResponse, last_fields, logprobs_of
from pyollama.api.times import now
from pyollama.engine import Options
from pyollama.errors import InvalidRequest, OptionError, Unsupported
from pyollama.prompt import Message
from pyollama.runner import Done, Generate, Piece, Reply
from pyollama.scheduler import Scheduler
from pyollama.settings import Settings, read_keep_alive
from pyollama.store import StoredModel

__all__ = ["Answer", "Inference"]

Answer = msgspec.Struct | AsyncIterator[msgspec.Struct]

NOT_HERE = ("vocab_only", "embedding_only")


class Inference:
    """Answers requests for text.

    Args:
        settings: Of the server.
        catalog: The models that there are.
        scheduler: Loads them.
    """

    def __init__(self, settings: Settings, catalog: Catalog, scheduler: Scheduler) -> None:
        self._catalog = catalog
        self._scheduler = scheduler
        defaults = {"num_ctx": settings.context_length, "num_parallel": settings.num_parallel}
        self._defaults = {name: value for name, value in defaults.items() if value}
        self._most_parallel = settings.num_parallel

    async def generate(self, request: GenerateRequest) -> Answer:
        """``POST /api/generate``.

        Raises:
            ApiError: The model is missing.
            InvalidRequest: The request cannot be valid.
            Error: The model cannot be loaded, or the request failed before its first piece.
        """
        request.check()
        if not request.model.strip():
            raise ApiError(404, "model '' not found")

        def response(text: str, **rest: Any) -> TextResponse:
            return TextResponse(model=request.model, created_at=now(), response=text, **rest)

        def message(stored: StoredModel) -> dict[str, Any]:
            if request.raw:
                return {"prompt": request.prompt}
            system = request.system or ("" if request.context else stored.system or "")
            own = [Message("system", system)] if system else []
            history = [] if request.context else _history(stored)
            return {
                "messages": (*own, *history, Message("user", request.prompt)),
                "system": system,
                "context": request.context,
                "want_context": True,
            }

        return await self._answer(request, "generate", response, message)

    async def chat(self, request: ChatRequest) -> Answer:
        """``POST /api/chat``. Raises as `generate`."""
        request.check()
        if not request.model.strip():
            raise InvalidRequest("model is required")

        def response(text: str, **rest: Any) -> TextResponse:
            said = Message("assistant", text)
            return TextResponse(model=request.model, created_at=now(), message=said, **rest)

        def message(stored: StoredModel) -> dict[str, Any]:
            conversation = request.conversation
            system = stored.system or ""
            own = [Message("system", system)] if system and conversation[0].role != "system" else []
            return {"messages": (*own, *_history(stored), *conversation)}

        return await self._answer(request, "chat", response, message)

    async def _answer(
        self,
        request: GenerateRequest | ChatRequest,
        what: str,
        response: Callable[..., msgspec.Struct],
        message: Callable[[StoredModel], dict[str, Any]],
    ) -> Answer:
        began = time.perf_counter_ns()
        keep_alive = None if request.keep_alive is None else read_keep_alive(request.keep_alive)
        stored = await asyncio.to_thread(find_model, self._catalog.store, request.model)
        if request.is_empty and keep_alive == 0:
            await self._scheduler.unload(stored)
            return response("", done=True, done_reason="unload")
        request.check_parts(stored.name.full)
        options, capabilities, parts = await asyncio.to_thread(self._read, stored, request, message)
        if "completion" not in capabilities:
            raise InvalidRequest(f'"{request.model}" does not support {what}')
        lease = await self._scheduler.lease(stored, options, keep_alive)
        try:
            load_ns = time.perf_counter_ns() - began
            if request.is_empty:
                lease.release()
                return response("", done=True, done_reason="load")
            runner = lease.model.runner
            reply = runner.generate(
                Generate(
                    id=runner.new_id(),
                    options=options,
                    format=request.format_text,
                    logprobs=request.wanted_logprobs,
                    truncate=request.truncate,
                    shift=request.shift,
                    **parts,
                )
            )
        except BaseException:
            lease.release()
            raise
        # A client that reads slowly keeps the text waiting, not the model.
        reply.when_ended(lease.release)

        def last(done: Done, text: str = "", **rest: Any) -> msgspec.Struct:
            metrics = Metrics.of(done, time.perf_counter_ns() - began, load_ns)
            more = {"context": done.context} if done.context else {}
            return response(text, **last_fields(done, metrics), **more, **rest)

        if not request.stream:
            return await _whole(reply, last)
        return _stream(reply, lambda text, **rest: response(text, done=False, **rest), last)

    def _read(
        self,
        stored: StoredModel,
        request: GenerateRequest | ChatRequest,
        message: Callable[[StoredModel], dict[str, Any]],
    ) -> tuple[Options, tuple[str, ...], dict[str, Any]]:
        """What has to be read from the disk: options, capabilities, and the prompt's parts."""
        try:
            own = Options.parse(stored.parameters)
        except InvalidRequest as error:
            raise InvalidRequest(f'the parameters of model "{stored.name}": {error}') from error
        options = Options.merge(request.options, own, self._defaults)
        load = options.resolve().load
        if self._most_parallel and load.num_parallel > self._most_parallel:
            options = Options.merge({"num_parallel": self._most_parallel}, options)
        for name in NOT_HERE:
            if getattr(load, name):
                raise OptionError(
                    f'option "{name}" loads the model without what generating needs: leave it out',
                    option=name,
                    value=True,
                )
        capabilities = self._catalog.capabilities(stored)
        parts = {} if request.is_empty else message(stored)
        if parts and "prompt" not in parts:
            parts["other_template"] = bool(stored.template)
        return options, capabilities, parts


async def _whole(reply: Reply, last: Callable[..., msgspec.Struct]) -> msgspec.Struct:
    texts: list[str] = []
    logprobs: list[Any] = []
    try:
        async for piece in reply:
            texts.append(piece.text)
            logprobs += logprobs_of(piece)
        more = {"logprobs": tuple(logprobs)} if logprobs else {}
        return last(reply.done, "".join(texts), **more)
    finally:
        reply.close()


async def _stream(
    reply: Reply, response: Callable[..., msgspec.Struct], last: Callable[..., msgspec.Struct]
) -> AsyncIterator[msgspec.Struct]:
    try:
        async for piece in reply:
            yield _line(piece, response)
        yield last(reply.done)
    finally:
        reply.close()


def _line(piece: Piece, response: Callable[..., msgspec.Struct]) -> msgspec.Struct:
    if piece.logprobs:
        return response(piece.text, logprobs=logprobs_of(piece))
    return response(piece.text)


def _history(stored: StoredModel) -> list[Message]:
    """The messages that every conversation with the model begins with."""
    try:
        return [
            Message.read({"role": message.role, "content": message.content}) for message in stored.messages
        ]
    except InvalidRequest as error:
        raise Unsupported(f'the messages of model "{stored.name}": {error}') from error
