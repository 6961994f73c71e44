"""The requests that a runner works on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pyollama.llm.results import context_of
from pyollama.runner.messages import Done, Failed, Generate, Piece

if TYPE_CHECKING:
    from pyollama.engine.generation import Event
    from pyollama.llm.preparation import Prepared

__all__ = ["Job", "Jobs"]


class Job:
    """One request: first it is prepared, then the engine has it.

    Args:
        request: What the server asked for.
    """

    def __init__(self, request: Generate) -> None:
        self.id = request.id
        self.engine_id: int | None = None
        self.cancelled = False
        self._wants_context = request.want_context
        self._tokens: list[int] = []
        self._prepared: Prepared | None = None

    def prepared_as(self, prepared: Prepared) -> None:
        """Remember what the last message shall tell of the preparation."""
        self._prepared = prepared

    def piece_of(self, event: Event) -> Piece:
        """What an event of the engine means for the client."""
        if self._wants_context:
            self._tokens += event.tokens
        return Piece(self.id, event.text, tuple((chosen, tuple(top)) for chosen, top in event.logprobs or ()))

    def end_of(self, event: Event) -> Done | Failed:
        """The last message, from the engine's last event."""
        if event.finish == "cancelled":
            return Failed(self.id, "Cancelled", "the generation was cancelled")
        if event.finish == "error":
            return Failed(self.id, event.error_type, event.error)
        prepared = self._prepared
        assert prepared is not None and event.finish is not None  # the engine had the request
        context = context_of(prepared.request.prompt, self._tokens, event) if self._wants_context else ()
        return Done(
            id=self.id,
            reason=event.finish,
            stats=event.stats,
            context=context,
            warnings=prepared.warnings,
            truncated_messages=prepared.truncated.messages,
            truncated_tokens=prepared.truncated.tokens,
        )


class Jobs:
    """The jobs by the server's id and by the engine's. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[int, Job] = {}
        self._by_engine_id: dict[int, Job] = {}
        # Events can come before it is known whose they are, as a request gets its id by being submitted.
        self._early: dict[int, list[Event]] = {}

    def add(self, job: Job) -> None:
        """Take in a new job."""
        with self._lock:
            self._by_id[job.id] = job

    def remove(self, job: Job) -> None:
        """Forget a job that has ended."""
        with self._lock:
            self._by_id.pop(job.id, None)
            if job.engine_id is not None:
                self._by_engine_id.pop(job.engine_id, None)

    def cancel(self, id: int) -> int | None:
        """Mark a job as cancelled; its engine id if the engine has it."""
        with self._lock:
            job = self._by_id.get(id)
            if job is None:
                return None
            job.cancelled = True
            return job.engine_id

    def submitted(self, job: Job, engine_id: int) -> list[Event]:
        """Say which request of the engine it is; returns its events that came already."""
        with self._lock:
            job.engine_id = engine_id
            self._by_engine_id[engine_id] = job
            return self._early.pop(engine_id, [])

    def owner(self, event: Event) -> Job | None:
        """The job of an event; None: it is kept until `submitted` asks for it."""
        with self._lock:
            job = self._by_engine_id.get(event.request_id)
            if job is None:
                self._early.setdefault(event.request_id, []).append(event)
            return job
