# distutils: language = c++
"""A loaded model: weights, vocabulary, adapters."""

from cpython.number cimport PyNumber_Index

import sys

from pyollama.errors import Closed, InvalidRequest


cdef class _Progress:
    """Carries the caller's callback through llama.cpp, and its exception back."""

    cdef object callback
    cdef object error


cdef bool _on_progress(float progress, void * user_data) noexcept with gil:
    cdef _Progress carrier = <_Progress> user_data
    try:
        return carrier.callback(progress) is not False
    except BaseException as error:  # it is raised again once llama.cpp has cleaned up
        carrier.error = error
        return False


cdef vector[llama_token] token_vector(object tokens) except *:
    cdef vector[llama_token] result
    cdef long long value
    try:
        for token in tokens:
            value = PyNumber_Index(token)
            if value < 0 or value > 2147483647:
                raise InvalidRequest(f"token {value} is not a token id: ids are not negative and fit 31 bits")
            result.push_back(<llama_token> value)
    except (TypeError, OverflowError) as error:
        raise InvalidRequest(f"tokens must be integers: {error}") from None
    return result


cdef class Model:
    """Weights and vocabulary. Immutable, safe to use from several threads; contexts keep it alive.

    Args:
        path: A GGUF file that has passed the header check.
        adapters: Pairs of (path, scale) of LoRA adapters.
        n_gpu_layers: -1: all that fit.
        main_gpu: -1: split over all GPUs.
        use_mmap: None: llama.cpp chooses.
        overrides: Integers by metadata key that replace or complete what the file says.
        progress: Called with 0.0 to 1.0 on the loading thread; returning False cancels the load.

    Raises:
        ModelLoadError: llama.cpp refuses the file.
        Cancelled: progress returned False.
    """

    def __init__(self, str path, *, adapters=(), int n_gpu_layers=-1, int main_gpu=-1, use_mmap=None,
                 overrides=None, bool use_mlock=False, bool vocab_only=False, bool check_tensors=False, progress=None):
        cdef ModelParams params
        cdef AdapterSpec adapter
        cdef pair[string, int64_t] override
        cdef _Progress carrier = None
        cdef ProgressCallback callback = NULL
        cdef void * user_data = NULL
        params.path = path.encode(sys.getfilesystemencoding(), "surrogateescape")
        for adapter_path, scale in adapters:
            adapter.path = str(adapter_path).encode(sys.getfilesystemencoding(), "surrogateescape")
            adapter.scale = scale
            params.adapters.push_back(adapter)
        params.n_gpu_layers = n_gpu_layers
        params.main_gpu = main_gpu
        params.use_mmap = -1 if use_mmap is None else 1 if use_mmap else 0
        for key, value in (overrides or {}).items():
            override.first = key.encode()
            override.second = value
            params.overrides.push_back(override)
        params.use_mlock = use_mlock
        params.vocab_only = vocab_only
        params.check_tensors = check_tensors
        if progress is not None:
            carrier = _Progress()
            carrier.callback = progress
            callback = _on_progress
            user_data = <void *> carrier
        try:
            with nogil:
                self.handle = CppModel.load(params, callback, user_data)
        except BaseException:
            if carrier is not None and carrier.error is not None:
                raise carrier.error from None
            raise

    cdef CppModel * get(self) except NULL:
        if self.handle.get() == NULL:
            raise Closed("the model was closed")
        return self.handle.get()

    def close(self):
        """Give up this handle; the memory is freed when no context uses it any more. Idempotent."""
        cdef shared_ptr[CppModel] handle
        handle.swap(self.handle)
        with nogil:
            handle.reset()

    def tokenize(self, str text, *, bool add_special=True, bool parse_special=True):
        """Token ids of a text. Lone surrogates are an error, as they are no text."""
        cdef CppModel * model = self.get()
        cdef string data
        cdef vector[llama_token] tokens
        cdef shared_ptr[CppModel] keep = self.handle
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"the text is not valid Unicode: {error}") from None
        with nogil:
            tokens = model.tokenize(data, add_special, parse_special)
        return list(tokens)

    def detokenize(self, tokens, *, bool remove_special=False, bool unparse_special=True):
        """The bytes of the tokens; they need not be whole UTF-8 characters."""
        cdef vector[llama_token] ids = token_vector(tokens)  # runs code of the caller's, who might close the model
        cdef CppModel * model = self.get()
        cdef shared_ptr[CppModel] keep = self.handle
        cdef string text
        with nogil:
            text = model.detokenize(ids, remove_special, unparse_special)
        return <bytes> text

    def piece(self, token, *, bool special=True):
        """The bytes of one token."""
        cdef vector[llama_token] one = token_vector((token,))
        cdef CppModel * model = self.get()
        if not model.is_valid(one[0]):
            raise InvalidRequest(f"token {token} is not in the vocabulary: ids go from 0 to {model.n_vocab() - 1}")
        return <bytes> model.piece(one[0], special)

    def is_eog(self, token):
        """Whether the token ends a generation."""
        cdef vector[llama_token] one = token_vector((token,)) if 0 <= token <= 2147483647 else token_vector((2147483647,))
        cdef CppModel * model = self.get()
        return model.is_valid(one[0]) and llama_vocab_is_eog(model.vocab(), one[0])

    def metadata(self):
        """The scalar metadata of the file, as text."""
        return {
            item.first.decode("utf-8", "replace"): item.second.decode("utf-8", "replace")
            for item in self.get().metadata()
        }

    def chat_template(self, str name=""):
        """The Jinja source of the file's chat template; empty if there is none."""
        return self.get().chat_template(name.encode()).decode("utf-8", "replace")

    @property
    def description(self):
        return self.get().description().decode("utf-8", "replace")

    @property
    def n_vocab(self):
        return self.get().n_vocab()

    @property
    def n_ctx_train(self):
        return llama_model_n_ctx_train(self.get().get())

    @property
    def n_embd(self):
        return llama_model_n_embd_out(self.get().get())

    @property
    def n_layer(self):
        return llama_model_n_layer(self.get().get())

    @property
    def n_head(self):
        return llama_model_n_head(self.get().get())

    @property
    def n_head_kv(self):
        return llama_model_n_head_kv(self.get().get())

    @property
    def n_params(self):
        return llama_model_n_params(self.get().get())

    @property
    def size(self):
        """Bytes of all tensors."""
        return llama_model_size(self.get().get())

    @property
    def has_encoder(self):
        return llama_model_has_encoder(self.get().get())

    @property
    def has_decoder(self):
        return llama_model_has_decoder(self.get().get())

    @property
    def bos_token(self):
        """-1 if the vocabulary has none."""
        return llama_vocab_bos(self.get().vocab())

    @property
    def eos_token(self):
        """-1 if the vocabulary has none."""
        return llama_vocab_eos(self.get().vocab())

    @property
    def add_bos(self):
        return llama_vocab_get_add_bos(self.get().vocab())

    @property
    def add_eos(self):
        return llama_vocab_get_add_eos(self.get().vocab())
