"""Generation of text: many requests in one context."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from pyollama.engine import backend, sizing
from pyollama.engine.dispatcher import Dispatcher
from pyollama.engine.generation import AsyncGeneration, Generation
from pyollama.engine.model import Model
from pyollama.engine.request import GenerationRequest
from pyollama.errors import Closed, InvalidRequest, Unsupported

if TYPE_CHECKING:
    from pyollama.native.engine import Channel

__all__ = ["Engine"]

MAX_LOGPROBS = 1 << 20


class Engine:
    """Runs requests on a model. All methods may be called from any thread.

    What the model's load options leave open (context, parallel requests, threads) is decided here and can be read
    from ``n_ctx``, ``n_parallel`` and ``n_threads``. A request beyond ``n_parallel`` waits for its turn.

    Args:
        model: The model; the engine keeps it alive.

    Raises:
        Unsupported: The model does not generate text.
        ModelLoadError: The context could not be created, for lack of memory say.

    Example::

        engine = Engine(model)
        for event in engine.generate(GenerationRequest(prompt=tuple(model.tokenize("Once upon")))):
            print(event.text, end="")
    """

    def __init__(self, model: Model) -> None:
        if not model.generates:
            raise Unsupported(f"{model.header.path} does not generate text; use it for embeddings")
        from pyollama.native import engine as native_engine

        options = model.options
        self.model = model
        self.n_ctx = sizing.context_length(model.header, options)
        self.n_threads = sizing.thread_count(options.num_thread)
        self.n_parallel = sizing.parallel_requests(
            model.header, options, self.n_ctx, sizing.available_memory()
        )
        self.new_channel = native_engine.Channel
        self._native = native_engine.Engine(
            model.native, options, n_ctx=self.n_ctx, n_parallel=self.n_parallel, n_threads=self.n_threads
        )
        self._lock = threading.Lock()
        self._dispatcher: Dispatcher | None = None
        self._closed = False
        backend.close_at_exit(self)

    def close(self) -> None:
        """End every request (whoever waits gets `Closed`) and free the context. Idempotent."""
        self._native.close()
        with self._lock:
            self._closed = True
            dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_closed"):  # created whole
            self.close()

    def generate(self, request: GenerationRequest) -> Generation:
        """Start a request.

        Raises:
            ContextLengthExceeded: The prompt is longer than the context.
            GrammarError: The grammar cannot be compiled.
            InvalidRequest: The prompt is empty, or a token is not in the vocabulary.
            Closed: The engine was closed.
        """
        channel = self.new_channel()
        request_id = self.submit(request, channel)
        return Generation(channel, request_id, partial(self.cancel, request_id))

    async def agenerate(self, request: GenerationRequest) -> AsyncGeneration:
        """As `generate`; compiling a grammar does not hold up the event loop."""
        self.status()  # not in a child of a fork, where the threads that this needs do not exist
        generation = AsyncGeneration()
        try:
            await asyncio.to_thread(self._begin, request, self._running_dispatcher(), generation)
        except asyncio.CancelledError:
            generation.close()  # the thread may not have come to the request yet
            raise
        return generation

    def cancel(self, request_id: int) -> None:
        """End a request before its next micro-batch. One that has ended already is no error."""
        try:
            self._native.cancel(request_id)
        except Closed:
            return  # with the engine all its requests have ended

    def _begin(self, request: GenerationRequest, dispatcher: Dispatcher, generation: AsyncGeneration) -> None:
        request_id = self.submit(request, dispatcher.channel)
        generation.begin(request_id, partial(self.cancel, request_id))
        dispatcher.register(request_id, generation)

    def _running_dispatcher(self) -> Dispatcher:
        with self._lock:
            if self._closed:
                raise Closed("the engine was closed")
            if self._dispatcher is None:
                self._dispatcher = Dispatcher()
            return self._dispatcher

    def submit(self, request: GenerationRequest, channel: Channel) -> int:
        """Start a request whose events go to a channel of the caller, made by `new_channel`.

        Returns:
            The id that its events carry; they may arrive before this call returns.

        Raises:
            As `generate`.
        """
        sampling = request.sampling
        n_ctx = min(request.num_ctx or self.n_ctx, self.n_ctx)
        n = request.logprobs
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or not 0 <= n <= MAX_LOGPROBS):
            raise InvalidRequest(f"logprobs must be an integer between 0 and {MAX_LOGPROBS}, got {n!r:.60}")
        try:
            return self._native.submit(
                request.prompt,
                sampling,
                channel,
                seed=request.seed(),
                logit_bias=self.model.logit_bias(sampling.logit_bias),
                grammar=request.grammar or sampling.grammar,
                stop=(*request.stop, *sampling.stop),
                n_predict=request.limit(n_ctx),
                n_keep=sampling.num_keep,
                n_ctx=n_ctx,
                n_batch=request.num_batch or self.model.options.num_batch,
                shift=request.may_shift(),
                cache_prompt=request.cache_prompt,
                show_special=request.show_special,
                n_logprobs=-1 if n is None else n,
            )
        except Closed:
            backend.end_thread_at_exit()
            raise

    def save_state(self, tokens: Sequence[int]) -> bytes:
        """What the context holds of the longest beginning of ``tokens``, for `restore_state`.

        Raises:
            InvalidRequest: No sequence holds a beginning of them.
        """
        return self._native.save_state(tokens, self.model.identity)

    def restore_state(self, state: bytes) -> int:
        """Put a saved state back, where a prompt that begins with its tokens will find it.

        Returns:
            The number of tokens that it holds.

        Raises:
            InvalidRequest: The bytes are damaged or were saved with another model or other settings, or every
                sequence is busy.
        """
        return self._native.restore_state(state, self.model.identity)

    def status(self) -> dict[str, int]:
        """Counts: n_running, n_waiting, n_parallel, n_ctx, n_cells (in use), n_decoded (tokens so far), failed.

        ``n_threads`` is how many compute now: fewer than the engine may use while other programs keep the
        processors busy, as threads that wait for each other would then be slower than one alone.
        """
        return self._native.status()

    def memory_use(self) -> dict[str, int]:
        """Bytes of model, context and compute buffers; ``gpu`` is the part of them that is on a GPU."""
        return self._native.memory_use()
