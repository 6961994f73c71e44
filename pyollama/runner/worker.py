"""What runs in the process of a runner: one model, its engine, and the conversation with the server."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pyollama import __version__, _build
from pyollama.engine import Engine, Model, Options
from pyollama.errors import Closed, Error, Unsupported
from pyollama.llm.preparation import Preparation, Prepared
from pyollama.runner.connection import Connection
from pyollama.runner.jobs import Job, Jobs
from pyollama.runner.messages import (
    PROTOCOL,
    Cancel,
    Done,
    Failed,
    Generate,
    Hello,
    Load,
    Loaded,
    LoadFailed,
    Piece,
    Ping,
    Pong,
    Progress,
    Shutdown,
    Step,
)

if TYPE_CHECKING:
    from pyollama.engine.generation import Channel, Event

__all__ = ["Worker"]

log = logging.getLogger("pyollama")

# Rendering, tokenizing and compiling grammars: beside the engine, so that a slow one holds up nobody else.
PREPARERS = 8
# Characters of a prompt that takes long to tokenize, some seconds for ten million: one such at a time, so that the
# usual ones never wait for it.
LARGE = 200_000
# Seconds between two frames of new text. Nobody sees such a delay, but every frame wakes three processes, which a
# small model would have to share its processors with for each token.
PAUSE = 0.002
PATIENCE = 0.5  # seconds that the collector waits in native code


class Worker:
    """Serves one connection until the server shuts it down or goes away.

    The thread that calls `run` only reads, so that it answers a ping also while a model loads. Others prepare
    requests, and one collects what the engine has generated and sends it.

    Args:
        connection: To the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs = Jobs()
        self._preparers = ThreadPoolExecutor(PREPARERS, thread_name_prefix="prepare")
        self._large_preparers = ThreadPoolExecutor(1, thread_name_prefix="prepare-large")
        self._model: Model | None = None
        self._engine: Engine | None = None
        self._channel: Channel | None = None
        self._preparation: Preparation | None = None
        self._ended = threading.Event()
        # Held while events are sent: those of one request must stay in order.
        self._forwarding = threading.Lock()

    def run(self) -> None:
        """Read messages and act on them. Returns after `Shutdown`, or when the server has gone."""
        self._connection.send(Hello(PROTOCOL, f"{__version__} {_build.LLAMA_CPP_VERSION}"))
        for message in self._connection.received():
            match message:
                case Generate():
                    job = Job(message)
                    self._jobs.add(job)
                    pool = self._large_preparers if size_of(message) > LARGE else self._preparers
                    pool.submit(self._begin, job, message)
                case Cancel(id):
                    engine_id = self._jobs.cancel(id)
                    if engine_id is not None and self._engine is not None:
                        self._engine.cancel(engine_id)
                case Ping():
                    self._connection.send(self._pong())
                case Load():
                    threading.Thread(target=self._load, args=(message,), name="load", daemon=True).start()
                case Shutdown():
                    break
        self._close()

    def _pong(self) -> Pong:
        try:
            status = self._engine.status() if self._engine is not None else {}
        except Closed:
            status = {}
        return Pong(status.get("n_running", 0), status.get("n_decoded", 0))

    def _close(self) -> None:
        self._ended.set()
        if self._engine is not None:
            self._engine.close()
        if self._model is not None:
            self._model.close()

    def _load(self, load: Load) -> None:
        try:
            self._model = model = Model(
                load.path,
                options=load.options.resolve().load,
                adapters=load.adapters,
                progress=self._report_progress,
            )
            engine = Engine(model) if model.generates else None
            self._channel = channel = engine.new_channel() if engine is not None else None
            # Every request brings all of its options: those of the first one must not become the next one's.
            self._preparation = Preparation(
                model, Options(), system="", history=(), engine=engine, served=True
            )
            self._engine = engine
        except Exception as error:  # whatever it is, somebody waits for the load
            if not isinstance(error, (Error, OSError, MemoryError)):
                log.exception("the model could not be loaded")
            self._connection.send(LoadFailed(*_described(error)))
            return
        memory = engine.memory_use() if engine is not None else {"model": load_size(load), "gpu": 0}
        self._connection.send(
            Loaded(
                n_ctx=engine.n_ctx if engine is not None else 0,
                n_parallel=engine.n_parallel if engine is not None else 0,
                n_threads=engine.n_threads if engine is not None else 0,
                size=sum(value for part, value in memory.items() if part != "gpu"),
                size_gpu=memory["gpu"],
                generates=engine is not None,
            )
        )
        if channel is not None:
            self._collect(channel)

    def _report_progress(self, fraction: float) -> bool:
        self._connection.send(Progress(fraction))
        return not self._ended.is_set()

    def _begin(self, job: Job, request: Generate) -> None:
        """Prepare a request and give it to the engine."""
        try:
            engine, channel = self._engine, self._channel
            if job.cancelled:  # while it waited for its turn
                self._end(job, Failed(job.id, "Cancelled", "the generation was cancelled"))
                return
            if engine is None or channel is None or self._preparation is None:
                raise Unsupported("the model does not generate text")
            prepared = prepare(self._preparation, request)
            job.prepared_as(prepared)
            if job.cancelled:
                self._end(job, Failed(job.id, "Cancelled", "the generation was cancelled"))
                return
            engine_id = engine.submit(prepared.request, channel)
            with self._forwarding:
                self._forward(self._jobs.submitted(job, engine_id))
            if job.cancelled:  # between the two looks
                engine.cancel(engine_id)
        except (Error, OSError, MemoryError, RecursionError) as error:
            self._end(job, Failed(job.id, *_described(error)))
        except Exception as error:  # a mistake of ours: the client must hear of it, or would wait for ever
            log.exception("a request could not be prepared")
            self._end(job, Failed(job.id, "EngineError", f"the request failed: {error!r}"))

    def _end(self, job: Job, message: Done | Failed) -> None:
        self._jobs.remove(job)
        self._connection.send(message)

    def _collect(self, channel: Channel) -> None:
        """Send what the engine generates, until the end."""
        try:
            while not self._ended.is_set():
                events = channel.collect(PATIENCE)
                with self._forwarding:
                    self._forward(events)
                if events:
                    time.sleep(PAUSE)
        except Exception:
            # Every answer would stand still for ever: better that the server sees this process end.
            log.exception("what the engine generates cannot be sent any more")
            sys.stderr.flush()
            os._exit(1)

    def _forward(self, events: Iterable[Event]) -> None:
        pieces: list[Piece] = []
        ends: list[tuple[Job, Done | Failed]] = []
        for event in events:
            job = self._jobs.owner(event)
            if job is None:
                continue
            piece = job.piece_of(event)
            if piece.text or piece.logprobs:
                pieces.append(piece)
            if event.finish is not None:
                ends.append((job, job.end_of(event)))
        if pieces:
            self._connection.send(Step(tuple(pieces)))
        for job, end in ends:
            self._end(job, end)


def prepare(preparation: Preparation, request: Generate) -> Prepared:
    """A request of the server as a request of the engine."""
    settings: dict[str, Any] = {
        "options": request.options,
        "format": request.format,
        "logprobs": request.logprobs,
        "truncate": request.truncate,
        "shift": request.shift,
    }
    if request.prompt is not None:
        return preparation.generate(request.prompt, raw=True, context=request.context, **settings)
    if not preparation.has_template:
        if request.other_template:
            raise Unsupported(
                "the model has a prompt template in Ollama's own language, which this version cannot read yet, and "
                "none in its GGUF file: use /api/generate with raw set to true"
            )
        if len(request.messages) != 1:
            raise Unsupported(
                "the model has no chat template, so only a prompt without a system message can be given to it"
            )
        return preparation.generate(request.messages[0].content, context=request.context, **settings)
    if request.context:
        return preparation.generate(
            request.messages[-1].content, system=request.system, context=request.context, **settings
        )
    return preparation.chat(request.messages, **settings)


def size_of(request: Generate) -> int:
    """Characters of the prompt."""
    return sum(len(message.content) for message in request.messages) + len(request.prompt or "")


def load_size(load: Load) -> int:
    """Bytes of the files of a model."""
    return sum(os.path.getsize(path) for path in (load.path, *load.adapters))


def _described(error: BaseException) -> tuple[str, str]:
    """Name of the class and message; of an error that is not ours, a class that says so."""
    if isinstance(error, Error):
        return type(error).__name__, str(error)
    if isinstance(error, MemoryError):
        return "ModelLoadError", "there is not enough memory"
    return "EngineError", str(error) or type(error).__name__
