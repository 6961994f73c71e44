# distutils: language = c++
"""The batching engine, the channels that events come out of, and embeddings."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool
from libcpp.memory cimport make_shared, shared_ptr, unique_ptr
from libcpp.string cimport string
from libcpp.utility cimport move
from libcpp.vector cimport vector

from pyollama.errors import Closed, InvalidRequest

from pyollama.native.errors cimport ErrorCode, pyollama_error_name, pyollama_raise_engine_error
from pyollama.native.model cimport CppModel, Model, llama_token, token_vector
from pyollama.native.sampler cimport SamplingParams, sampling_params


cdef extern from "<chrono>" namespace "std::chrono" nogil:
    cdef cppclass nanoseconds:
        nanoseconds(int64_t count)


cdef extern from "bindings/process.h" namespace "pyollama" nogil:
    int64_t process_id()


cdef extern from "ggml.h" nogil:
    cdef enum ggml_type:
        GGML_TYPE_F32
        GGML_TYPE_F16
        GGML_TYPE_BF16
        GGML_TYPE_Q8_0
        GGML_TYPE_Q4_0
        GGML_TYPE_Q4_1
        GGML_TYPE_IQ4_NL
        GGML_TYPE_Q5_0
        GGML_TYPE_Q5_1


cdef extern from "engine/event.h" namespace "pyollama" nogil:
    cdef enum class FinishReason(int):
        none
        stop
        length
        cancelled
        error

    cdef cppclass Logprob:
        llama_token token
        float logprob
        string bytes

    cdef cppclass TokenLogprob:
        Logprob chosen
        vector[Logprob] top

    cdef cppclass RequestStats:
        int64_t n_prompt
        int64_t n_cached
        int64_t n_generated
        int64_t queue_ns
        int64_t prompt_eval_ns
        int64_t eval_ns
        uint32_t n_shifts
        uint32_t seed
        llama_token end_token

    cdef cppclass CppEvent "pyollama::Event":
        uint64_t request_id
        string text
        vector[llama_token] tokens
        vector[TokenLogprob] logprobs
        FinishReason finish
        ErrorCode error_code
        string error
        string stop
        RequestStats stats


cdef extern from "engine/channel.h" namespace "pyollama" nogil:
    cdef cppclass CppChannel "pyollama::Channel":
        CppChannel()
        vector[CppEvent] collect(nanoseconds timeout) except +pyollama_raise_engine_error
        void interrupt() except +pyollama_raise_engine_error


cdef extern from "engine/request.h" namespace "pyollama" nogil:
    cdef cppclass RequestParams:
        vector[llama_token] prompt
        SamplingParams sampling
        vector[string] stop
        int64_t n_predict
        int32_t n_keep
        uint32_t n_ctx
        uint32_t n_batch
        bool shift
        bool cache_prompt
        bool show_special
        int32_t n_logprobs


cdef extern from "engine/context.h" namespace "pyollama" nogil:
    cdef cppclass ContextParams:
        uint32_t n_ctx_seq
        uint32_t n_seq_max
        uint32_t n_ubatch
        int32_t n_threads
        uint32_t poll
        int32_t flash_attn
        ggml_type type_k
        ggml_type type_v
        float rope_freq_base
        float rope_freq_scale
        bool offload_kqv

    cdef cppclass MemoryUse:
        uint64_t model
        uint64_t context
        uint64_t compute
        uint64_t gpu


cdef extern from "engine/engine.h" namespace "pyollama" nogil:
    cdef cppclass EngineStatus:
        uint64_t n_running
        uint64_t n_waiting
        uint64_t n_seq_max
        uint64_t n_ctx_seq
        uint64_t n_cells
        uint64_t n_decoded
        uint64_t n_threads
        bool failed

    cdef cppclass CppEngine "pyollama::Engine":
        CppEngine(shared_ptr[CppModel] model, const ContextParams & params) except +pyollama_raise_engine_error
        uint64_t submit(RequestParams params, shared_ptr[CppChannel] channel) except +pyollama_raise_engine_error
        bool cancel(uint64_t request_id) except +pyollama_raise_engine_error
        string save_state(vector[llama_token] tokens, uint64_t identity) except +pyollama_raise_engine_error
        uint64_t restore_state(string state, uint64_t identity) except +pyollama_raise_engine_error
        EngineStatus status() except +pyollama_raise_engine_error
        MemoryUse memory_use() except +pyollama_raise_engine_error
        void close() except +pyollama_raise_engine_error


cdef extern from "engine/embedder.h" namespace "pyollama" nogil:
    cdef cppclass CppEmbedder "pyollama::Embedder":
        CppEmbedder(shared_ptr[CppModel] model, ContextParams params) except +pyollama_raise_engine_error
        void embed(const vector[vector[llama_token]] & inputs, float * out) except +pyollama_raise_engine_error
        int32_t n_embd() noexcept
        uint32_t n_ctx() noexcept
        MemoryUse memory_use() except +pyollama_raise_engine_error
        void close() except +pyollama_raise_engine_error


_CACHE_TYPES = {
    "f32": <int> GGML_TYPE_F32,
    "f16": <int> GGML_TYPE_F16,
    "bf16": <int> GGML_TYPE_BF16,
    "q8_0": <int> GGML_TYPE_Q8_0,
    "q4_0": <int> GGML_TYPE_Q4_0,
    "q4_1": <int> GGML_TYPE_Q4_1,
    "iq4_nl": <int> GGML_TYPE_IQ4_NL,
    "q5_0": <int> GGML_TYPE_Q5_0,
    "q5_1": <int> GGML_TYPE_Q5_1,
}
_FINISH_REASONS = {
    <int> FinishReason.none: None,
    <int> FinishReason.stop: "stop",
    <int> FinishReason.length: "length",
    <int> FinishReason.cancelled: "cancelled",
    <int> FinishReason.error: "error",
}
_FLASH_ATTENTION = {"auto": -1, False: 0, True: 1}


cdef ContextParams context_params(object options, uint32_t n_ctx, uint32_t n_parallel, int32_t n_threads) except *:
    cdef ContextParams params
    cdef ggml_type cache_type = <ggml_type> <int> _CACHE_TYPES[options.kv_cache_type]
    params.n_ctx_seq = n_ctx
    params.n_seq_max = n_parallel
    # llama.cpp asserts that a batch holds a token of every sequence
    params.n_ubatch = max(<uint32_t> options.num_batch, n_parallel)
    params.n_threads = n_threads
    params.flash_attn = _FLASH_ATTENTION[options.flash_attention]
    if options.flash_attention == "auto" and options.kv_cache_type == "f32":
        params.flash_attn = 0  # it would cast the whole cache to 16 bits at every step
    params.type_k = cache_type
    params.type_v = cache_type
    params.rope_freq_base = options.rope_frequency_base
    params.rope_freq_scale = options.rope_frequency_scale
    params.offload_kqv = not options.low_vram
    return params


cdef dict memory_dict(MemoryUse use):
    return {"model": use.model, "context": use.context, "compute": use.compute, "gpu": use.gpu}


cdef object logprob_entry(const Logprob & entry):
    return (entry.token, entry.logprob, <bytes> entry.bytes)


cdef class Event:
    """What happened to one request since the last look."""

    cdef readonly uint64_t request_id
    cdef readonly str text
    cdef readonly list tokens
    cdef readonly list logprobs
    cdef readonly object finish
    cdef readonly str stop
    cdef readonly str error
    cdef readonly str error_type
    cdef readonly dict stats

    @staticmethod
    cdef Event make(CppEvent & event):
        cdef Event result = Event.__new__(Event)
        result.request_id = event.request_id
        result.text = event.text.decode("utf-8")
        result.tokens = list(event.tokens)
        result.logprobs = None
        if not event.logprobs.empty():
            result.logprobs = []
            for entry in event.logprobs:
                result.logprobs.append((logprob_entry(entry.chosen), [logprob_entry(top) for top in entry.top]))
        result.finish = _FINISH_REASONS[<int> event.finish]
        if event.finish != FinishReason.none:
            result.stop = event.stop.decode("utf-8")
            result.error = event.error.decode("utf-8", "replace")
            result.error_type = pyollama_error_name(event.error_code).decode()
            result.stats = {
                "n_prompt": event.stats.n_prompt,
                "n_cached": event.stats.n_cached,
                "n_generated": event.stats.n_generated,
                "queue_ns": event.stats.queue_ns,
                "prompt_eval_ns": event.stats.prompt_eval_ns,
                "eval_ns": event.stats.eval_ns,
                "n_shifts": event.stats.n_shifts,
                "seed": event.stats.seed,
                "end_token": event.stats.end_token,
            }
        return result


cdef class Channel:
    """Where events of one or many requests wait to be collected."""

    cdef shared_ptr[CppChannel] handle

    def __cinit__(self):
        self.handle = make_shared[CppChannel]()

    def collect(self, double timeout=0.1):
        """All events there are; waits up to timeout seconds for the first one."""
        cdef vector[CppEvent] events
        cdef CppChannel * channel = self.handle.get()
        cdef int64_t wait_ns = <int64_t> (min(max(timeout, 0.0), 1e6) * 1e9)
        with nogil:
            events = channel.collect(nanoseconds(wait_ns))
        return [Event.make(event) for event in events]

    def interrupt(self):
        """Make one collect() return early."""
        cdef CppChannel * channel = self.handle.get()
        with nogil:
            channel.interrupt()


cdef class Engine:
    """Runs requests for one model in one context. Thread-safe.

    Args:
        model: A loaded model.
        options: A ``LoadOptions``.
        n_ctx: Most tokens of one request.
        n_parallel: Requests that run at the same time.
        n_threads: Threads that compute.
    """

    cdef shared_ptr[CppEngine] handle
    cdef int64_t pid

    def __init__(self, Model model, options, *, uint32_t n_ctx, uint32_t n_parallel, int32_t n_threads):
        cdef ContextParams params = context_params(options, n_ctx, n_parallel, n_threads)
        cdef shared_ptr[CppModel] native_model = model.handle
        cdef CppEngine * engine
        model.get()
        self.pid = process_id()
        with nogil:
            engine = new CppEngine(native_model, params)
        self.handle.reset(engine)

    cdef shared_ptr[CppEngine] get(self) except *:
        if self.handle.get() == NULL:
            raise Closed("the engine was closed")
        if self.pid != process_id():
            raise Closed(f"the engine belongs to process {self.pid}: load the model again after a fork")
        return self.handle

    def __dealloc__(self):
        self.close()

    def close(self):
        """End every request and free the context. Idempotent."""
        cdef shared_ptr[CppEngine] handle
        handle.swap(self.handle)
        if handle.get() == NULL:
            return
        if self.pid != process_id():
            # After a fork the threads exist in the parent only: joining them would wait for ever.
            new shared_ptr[CppEngine](handle)
            return
        with nogil:
            handle.get().close()
            handle.reset()

    def submit(self, prompt, options, Channel channel, *, uint32_t seed, logit_bias=(), str grammar="", stop=(),
               int64_t n_predict=-1, int32_t n_keep=4, uint32_t n_ctx=0, uint32_t n_batch=512, bool shift=True,
               bool cache_prompt=True, bool show_special=False, int32_t n_logprobs=-1):
        """Queue a request and return its id; see request.h for the arguments."""
        cdef shared_ptr[CppEngine] engine = self.get()
        cdef RequestParams params
        cdef uint64_t request_id
        params.prompt = token_vector(prompt)
        params.sampling = sampling_params(options, seed, logit_bias, grammar)
        for text in stop:
            params.stop.push_back(text.encode())
        params.n_predict = n_predict
        params.n_keep = n_keep
        params.n_ctx = n_ctx
        params.n_batch = n_batch
        params.shift = shift
        params.cache_prompt = cache_prompt
        params.show_special = show_special
        params.n_logprobs = n_logprobs
        with nogil:
            request_id = engine.get().submit(move(params), channel.handle)
        return request_id

    def cancel(self, uint64_t request_id):
        """End a request; False if it is not running."""
        cdef shared_ptr[CppEngine] engine = self.get()
        cdef bool known
        with nogil:
            known = engine.get().cancel(request_id)
        return known

    def save_state(self, tokens, uint64_t identity):
        """The cached state of the longest beginning of tokens, as bytes. identity: of the weights and adapters."""
        cdef shared_ptr[CppEngine] engine = self.get()
        cdef vector[llama_token] ids = token_vector(tokens)
        cdef string state
        with nogil:
            state = engine.get().save_state(ids, identity)
        return <bytes> state

    def restore_state(self, bytes state, uint64_t identity):
        """Put a saved state back; returns its number of tokens."""
        cdef shared_ptr[CppEngine] engine = self.get()
        cdef string data = state
        cdef uint64_t n_tokens
        with nogil:
            n_tokens = engine.get().restore_state(move(data), identity)
        return n_tokens

    def status(self):
        """Counts of requests and cells."""
        cdef EngineStatus status = self.get().get().status()
        return {
            "n_running": status.n_running,
            "n_waiting": status.n_waiting,
            "n_parallel": status.n_seq_max,
            "n_ctx": status.n_ctx_seq,
            "n_cells": status.n_cells,
            "n_decoded": status.n_decoded,
            "n_threads": status.n_threads,
            "failed": status.failed,
        }

    def memory_use(self):
        """Bytes of model, context and compute buffers, and how much of them is on a GPU."""
        return memory_dict(self.get().get().memory_use())


cdef class Embedder:
    """Embeddings in a context of its own. Thread-safe."""

    cdef shared_ptr[CppEmbedder] handle
    cdef int64_t pid

    def __init__(self, Model model, options, *, uint32_t n_ctx, int32_t n_threads):
        cdef ContextParams params = context_params(options, n_ctx, 1, n_threads)
        cdef shared_ptr[CppModel] native_model = model.handle
        cdef CppEmbedder * embedder
        model.get()
        self.pid = process_id()
        with nogil:
            embedder = new CppEmbedder(native_model, params)
        self.handle.reset(embedder)

    cdef shared_ptr[CppEmbedder] get(self) except *:
        if self.handle.get() == NULL:
            raise Closed("the model was closed")
        if self.pid != process_id():
            raise Closed(f"the model belongs to process {self.pid}: load it again after a fork")
        return self.handle

    def __dealloc__(self):
        self.close()

    def close(self):
        """Free the context once running calls have ended. Idempotent."""
        cdef shared_ptr[CppEmbedder] handle
        handle.swap(self.handle)
        if handle.get() == NULL:
            return
        if self.pid != process_id():
            new shared_ptr[CppEmbedder](handle)
            return
        with nogil:
            handle.get().close()
            handle.reset()

    @property
    def n_embd(self):
        return self.get().get().n_embd()

    def embed(self, inputs, float[:, ::1] out):
        """Embed token lists into out, float32 of shape (len(inputs), n_embd), not normalized."""
        cdef shared_ptr[CppEmbedder] embedder = self.get()
        cdef vector[vector[llama_token]] rows
        for tokens in inputs:
            rows.push_back(token_vector(tokens))
        if out.shape[0] != <Py_ssize_t> rows.size() or out.shape[1] != embedder.get().n_embd():
            raise InvalidRequest(f"out has shape ({out.shape[0]}, {out.shape[1]}), "
                                 f"needed is ({rows.size()}, {embedder.get().n_embd()})")
        if rows.empty():
            return
        cdef float * target = &out[0, 0]
        with nogil:
            embedder.get().embed(rows, target)

    def memory_use(self):
        """Bytes, as Engine.memory_use."""
        return memory_dict(self.get().get().memory_use())
