"""A model in this process, with nothing else to start."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from pyollama.engine import Embedder, Engine, Model, Options
from pyollama.engine.model import Adapter, read_adapters
from pyollama.errors import Closed, Unsupported
from pyollama.llm.embedding import EmbeddingInput, embed_texts
from pyollama.llm.preparation import Preparation, Prepared
from pyollama.llm.results import ChatCompletion, Completion
from pyollama.llm.settings import ChatSettings, EmbedSettings, GenerateSettings, OptionsLike
from pyollama.llm.source import ModelSource
from pyollama.llm.stream import Answer, AsyncStream, C, Stream
from pyollama.prompt.message import MessageLike

__all__ = ["LLM"]


class LLM:
    """Generates, chats, embeds and tokenizes with one model. Safe to use from any number of threads.

    Requests of several threads run side by side in one context; one that finds all places taken waits.

    Args:
        model: A name in the model directory, such as ``"tiny"``, the model that comes with pyollama; or the path of
            a GGUF file.
        options: Options for loading (``num_ctx``, ``num_thread``, ``num_gpu``, ...), and defaults for every request.
        adapters: LoRA adapters (GGUF files), each alone or as ``(path, scale)``.
        system: A system message for conversations that have none.
        progress: Called with 0.0 to 1.0 while the model loads; returning False cancels.

    Raises:
        ModelNotFound: No such model or file.
        InvalidModelFile: The file is not a GGUF model that can be loaded.
        OptionError: An option has the wrong type or is out of range.
        ModelLoadError: llama.cpp could not load it, for lack of memory say.

    Example::

        with pyollama.LLM("tiny") as llm:
            print(llm.generate("Why is the sky blue?").text)
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        options: OptionsLike = None,
        adapters: Iterable[Adapter] = (),
        system: str | None = None,
        progress: Callable[[float], bool | None] | None = None,
    ) -> None:
        source = ModelSource.find(model)
        given = Options.merge(options, source.parameters)
        self.name = source.name
        self._closed = False
        self._lock = threading.Lock()
        self._embedder: Embedder | None = None
        self._engine: Engine | None = None
        self.model = Model(
            source.path,
            options=given.resolve().load,
            adapters=[*source.adapters, *read_adapters(adapters)],
            progress=progress,
        )
        if self.model.generates:
            self._engine = Engine(self.model)
        self._preparation = Preparation(
            self.model,
            given,
            system=source.system if system is None else system,
            history=source.history,
            engine=self._engine,
        )

    def close(self) -> None:
        """End everything that runs and free the memory. Idempotent; later calls raise `Closed`."""
        with self._lock:
            self._closed = True
            embedder, self._embedder = self._embedder, None
        if self._engine is not None:
            self._engine.close()
        if embedder is not None:
            embedder.close()
        self.model.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LLM {self.name}{' (closed)' if self._closed else ''}>"

    @property
    def engine(self) -> Engine:
        """The engine: status, memory, saved states.

        Raises:
            Unsupported: The model does not generate text.
            Closed: The model was closed.
        """
        if self._closed:
            raise Closed(f"{self.name} was closed")
        if self._engine is None:
            raise Unsupported(f"{self.name} does not generate text; use it for embed() or tokenize()")
        return self._engine

    @overload
    def generate(
        self, prompt: str, *, stream: Literal[False] = ..., **settings: Unpack[GenerateSettings]
    ) -> Completion: ...
    @overload
    def generate(
        self, prompt: str, *, stream: Literal[True], **settings: Unpack[GenerateSettings]
    ) -> Stream[Completion]: ...
    def generate(
        self,
        prompt: str,
        *,
        stream: bool = False,
        **settings: Unpack[GenerateSettings],
    ) -> Completion | Stream[Completion]:
        """Answer a prompt.

        Args:
            prompt: What the user says. It is put into the model's chat template, unless ``raw`` is set or the model
                has none.
            stream: Return a `Stream` of chunks at once, not the whole answer.
            system: System message; None: the model's own.
            raw: Give the prompt to the model as it is.
            context: The ``context`` of an earlier answer to go on from.
            options: Options of this request; they win over those of the model.
            format: ``"json"``, a JSON schema, or a pydantic model.
            logprobs: How many alternatives to report with each token; 0: only the token itself.

        Raises:
            InvalidRequest: An argument is wrong; `OptionError` and `GrammarError` among others.
            ContextLengthExceeded: The prompt is longer than the context. Nothing is ever cut silently.
            Unsupported: The model does not generate text.
            Closed: The model was closed, before or meanwhile.

        Example::

            llm.generate("Name a color.", options={"temperature": 0, "num_predict": 20}).text
        """
        prepared = self._preparation.generate(prompt, **settings)
        return self._start(Completion, prepared, stream)

    @overload
    def chat(
        self,
        messages: Iterable[MessageLike],
        *,
        stream: Literal[False] = ...,
        **settings: Unpack[ChatSettings],
    ) -> ChatCompletion: ...
    @overload
    def chat(
        self, messages: Iterable[MessageLike], *, stream: Literal[True], **settings: Unpack[ChatSettings]
    ) -> Stream[ChatCompletion]: ...
    def chat(
        self,
        messages: Iterable[MessageLike],
        *,
        stream: bool = False,
        **settings: Unpack[ChatSettings],
    ) -> ChatCompletion | Stream[ChatCompletion]:
        """Answer a conversation.

        The beginning that a conversation has in common with an earlier one is not computed again.

        Args:
            messages: Objects with ``role`` (system, user, assistant or tool) and ``content``.
            stream, options, format, logprobs: As for `generate`.

        Raises:
            As `generate`.

        Example::

            messages = [{"role": "user", "content": "My name is Anna."}]
            messages.append(llm.chat(messages).message)
        """
        prepared = self._preparation.chat(messages, **settings)
        return self._start(ChatCompletion, prepared, stream)

    @overload
    async def agenerate(
        self, prompt: str, *, stream: Literal[False] = ..., **settings: Unpack[GenerateSettings]
    ) -> Completion: ...
    @overload
    async def agenerate(
        self, prompt: str, *, stream: Literal[True], **settings: Unpack[GenerateSettings]
    ) -> AsyncStream[Completion]: ...
    async def agenerate(
        self, prompt: str, *, stream: bool = False, **settings: Unpack[GenerateSettings]
    ) -> Completion | AsyncStream[Completion]:
        """As `generate`; the event loop is never held up.

        Example::

            async for chunk in await llm.agenerate("Tell me a story.", stream=True):
                print(chunk.text, end="")
        """
        prepared = await asyncio.to_thread(self._preparation.generate, prompt, **settings)
        return await self._astart(Completion, prepared, stream)

    @overload
    async def achat(
        self,
        messages: Iterable[MessageLike],
        *,
        stream: Literal[False] = ...,
        **settings: Unpack[ChatSettings],
    ) -> ChatCompletion: ...
    @overload
    async def achat(
        self, messages: Iterable[MessageLike], *, stream: Literal[True], **settings: Unpack[ChatSettings]
    ) -> AsyncStream[ChatCompletion]: ...
    async def achat(
        self, messages: Iterable[MessageLike], *, stream: bool = False, **settings: Unpack[ChatSettings]
    ) -> ChatCompletion | AsyncStream[ChatCompletion]:
        """As `chat`; the event loop is never held up."""
        prepared = await asyncio.to_thread(self._preparation.chat, messages, **settings)
        return await self._astart(ChatCompletion, prepared, stream)

    def _start(self, kind: type[C], prepared: Prepared, stream: bool) -> C | Stream[C]:
        answer = Answer(kind, prepared.request.prompt, prepared.warnings)
        started = Stream(self.engine.generate(prepared.request), answer)
        return started if stream else started.read()

    async def _astart(self, kind: type[C], prepared: Prepared, stream: bool) -> C | AsyncStream[C]:
        answer = Answer(kind, prepared.request.prompt, prepared.warnings)
        started = AsyncStream(await self.engine.agenerate(prepared.request), answer)
        return started if stream else await started.read()

    def embed(
        self,
        texts: EmbeddingInput,
        *,
        truncate: bool = False,
        normalize: bool = True,
        dimensions: int | None = None,
    ) -> NDArray[np.float32]:
        """Vectors of texts.

        Args:
            texts: One text or several; also lists of token ids.
            truncate: Cut inputs that are longer than the context; False: they are an error.
            normalize: Scale each vector to length 1.
            dimensions: Keep only the first so many numbers of each vector, before scaling.

        Returns:
            float32 of shape (n, d); one row for a single text.

        Raises:
            InvalidRequest: An argument is wrong.
            ContextLengthExceeded: An input is longer than the context.
            Closed: The model was closed, before or meanwhile.

        Example::

            a, b = llm.embed(["a cat", "a dog"])
            similarity = float(a @ b)
        """
        return embed_texts(
            self._ready_embedder(), texts, truncate=truncate, normalize=normalize, dimensions=dimensions
        )

    async def aembed(self, texts: EmbeddingInput, **settings: Unpack[EmbedSettings]) -> NDArray[np.float32]:
        """As `embed`; the event loop is never held up."""
        return await asyncio.to_thread(self.embed, texts, **settings)

    def _ready_embedder(self) -> Embedder:
        with self._lock:
            if self._closed:
                raise Closed(f"{self.name} was closed")
            if self._embedder is None:
                self._embedder = Embedder(self.model)
            return self._embedder

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Token ids of a text; see `Model.tokenize`."""
        return self.model.tokenize(text, add_special=add_special, parse_special=parse_special)

    def detokenize(self, tokens: Sequence[int], *, special: bool = True) -> str:
        """The text of tokens; see `Model.detokenize`."""
        return self.model.detokenize(tokens, special=special)
