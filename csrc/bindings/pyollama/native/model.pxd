# csrc/engine/model.h

from libc.stdint cimport int32_t, int64_t, uint64_t
from libcpp cimport bool
from libcpp.memory cimport shared_ptr
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.vector cimport vector

from pyollama.native.errors cimport pyollama_raise_engine_error

ctypedef int32_t llama_token


cdef extern from "llama.h" nogil:
    cdef cppclass llama_model:
        pass
    cdef cppclass llama_vocab:
        pass

    int32_t llama_model_n_ctx_train(const llama_model * model)
    int32_t llama_model_n_embd_out(const llama_model * model)
    int32_t llama_model_n_layer(const llama_model * model)
    int32_t llama_model_n_head(const llama_model * model)
    int32_t llama_model_n_head_kv(const llama_model * model)
    uint64_t llama_model_size(const llama_model * model)
    uint64_t llama_model_n_params(const llama_model * model)
    bool llama_model_has_encoder(const llama_model * model)
    bool llama_model_has_decoder(const llama_model * model)
    bool llama_model_is_recurrent(const llama_model * model)
    bool llama_model_is_hybrid(const llama_model * model)
    llama_token llama_vocab_bos(const llama_vocab * vocab)
    llama_token llama_vocab_eos(const llama_vocab * vocab)
    bool llama_vocab_get_add_bos(const llama_vocab * vocab)
    bool llama_vocab_get_add_eos(const llama_vocab * vocab)
    bool llama_vocab_is_eog(const llama_vocab * vocab, llama_token token)


cdef extern from "engine/model.h" namespace "pyollama" nogil:
    ctypedef bool (*ProgressCallback)(float progress, void * user_data) noexcept nogil

    cdef cppclass AdapterSpec:
        string path
        float scale

    cdef cppclass ModelParams:
        string path
        vector[AdapterSpec] adapters
        vector[pair[string, int64_t]] overrides
        int32_t n_gpu_layers
        int32_t main_gpu
        int32_t use_mmap
        bool use_mlock
        bool vocab_only
        bool check_tensors

    cdef cppclass CppModel "pyollama::Model":
        @staticmethod
        shared_ptr[CppModel] load(const ModelParams & params, ProgressCallback progress,
                                  void * user_data) except +pyollama_raise_engine_error
        llama_model * get() noexcept
        const llama_vocab * vocab() noexcept
        bool vocab_only() noexcept
        vector[llama_token] tokenize(const string & text, bool add_special,
                                     bool parse_special) except +pyollama_raise_engine_error
        string detokenize(const vector[llama_token] & tokens, bool remove_special,
                          bool unparse_special) except +pyollama_raise_engine_error
        string piece(llama_token token, bool special) except +pyollama_raise_engine_error
        int32_t n_vocab() noexcept
        bool is_valid(llama_token token) noexcept
        vector[pair[string, string]] metadata() except +pyollama_raise_engine_error
        string description() except +pyollama_raise_engine_error
        string chat_template(const string & name) except +pyollama_raise_engine_error


cdef class Model:
    cdef shared_ptr[CppModel] handle
    cdef object __weakref__
    cdef CppModel * get(self) except NULL


cdef vector[llama_token] token_vector(object tokens) except *
