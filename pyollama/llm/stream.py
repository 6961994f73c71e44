"""An answer while it is being generated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from pyollama.engine import AsyncGeneration, Generation
from pyollama.errors import InvalidRequest
from pyollama.llm.results import Chunk, Completion, chunk_of, context_of, stats_of

if TYPE_CHECKING:
    from pyollama.engine.generation import Event

__all__ = ["AsyncStream", "Stream"]

C = TypeVar("C", bound=Completion)


class Answer(Generic[C]):
    """Puts a whole answer together from its pieces."""

    def __init__(self, kind: type[C], prompt: tuple[int, ...], warnings: tuple[str, ...]) -> None:
        self._kind = kind
        self._prompt = prompt
        self._warnings = warnings
        self._chunks: list[Chunk] = []
        self._completion: C | None = None

    def add(self, event: Event) -> Chunk:
        """Take the next event of the engine."""
        chunk = chunk_of(event)
        self._chunks.append(chunk)
        if event.finish in ("stop", "length"):  # other ends are raised before they come here
            tokens = tuple(token for piece in self._chunks for token in piece.tokens)
            self._completion = self._kind(
                text="".join(piece.text for piece in self._chunks),
                tokens=tokens,
                logprobs=tuple(entry for piece in self._chunks for entry in piece.logprobs),
                done_reason=event.finish,
                stop=event.stop,
                context=context_of(self._prompt, tokens, event),
                warnings=self._warnings,
                stats=stats_of(event),
            )
        return chunk

    @property
    def completion(self) -> C:
        """The whole answer.

        Raises:
            InvalidRequest: It has not ended yet.
        """
        if self._completion is None:
            raise InvalidRequest(
                "the answer has not ended: read the stream to its end before asking for its result"
            )
        return self._completion


class Stream(Generic[C]):
    """Iterates over the pieces of an answer. One thread reads; any thread may close.

    A stream that is not read to its end goes on generating until it is closed or forgotten; with ``with`` it is
    closed for sure.

    Example::

        with llm.generate("Why is the sky blue?", stream=True) as stream:
            for chunk in stream:
                print(chunk.text, end="", flush=True)
        print(stream.result.stats)
    """

    def __init__(self, generation: Generation, answer: Answer[C]) -> None:
        self._generation = generation
        self._answer = answer

    def __iter__(self) -> Stream[C]:
        return self

    def __next__(self) -> Chunk:
        return self._answer.add(next(self._generation))

    @property
    def result(self) -> C:
        """The whole answer, once the stream has ended.

        Raises:
            InvalidRequest: The stream has not ended.
        """
        return self._answer.completion

    def read(self) -> C:
        """Read to the end and return the whole answer."""
        with self:
            for _ in self:
                pass
        return self.result

    def cancel(self) -> None:
        """End the generation; whoever reads gets `Cancelled`. Idempotent."""
        self._generation.cancel()

    def close(self) -> None:
        """End the generation and the stream. Idempotent."""
        self._generation.close()

    def __enter__(self) -> Stream[C]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncStream(Generic[C]):
    """As `Stream`, for ``async for`` and ``async with``."""

    def __init__(self, generation: AsyncGeneration, answer: Answer[C]) -> None:
        self._generation = generation
        self._answer = answer

    def __aiter__(self) -> AsyncStream[C]:
        return self

    async def __anext__(self) -> Chunk:
        return self._answer.add(await anext(self._generation))

    @property
    def result(self) -> C:
        """The whole answer, once the stream has ended.

        Raises:
            InvalidRequest: The stream has not ended.
        """
        return self._answer.completion

    async def read(self) -> C:
        """Read to the end and return the whole answer."""
        async with self:
            async for _ in self:
                pass
        return self.result

    def cancel(self) -> None:
        """End the generation; whoever reads gets `Cancelled`. Idempotent."""
        self._generation.cancel()

    async def aclose(self) -> None:
        """End the generation and the stream. Idempotent."""
        await self._generation.aclose()

    async def __aenter__(self) -> AsyncStream[C]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
