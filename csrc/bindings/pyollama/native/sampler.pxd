# csrc/engine/sampling_params.h and sampler.h

from libc.stdint cimport int32_t, uint32_t
from libcpp cimport bool
from libcpp.memory cimport shared_ptr, unique_ptr
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.vector cimport vector

from pyollama.native.errors cimport pyollama_raise_engine_error
from pyollama.native.model cimport CppModel, llama_token


cdef extern from "llama.h" nogil:
    cdef cppclass llama_token_data:
        llama_token id
        float logit
        float p


cdef extern from "engine/sampling_params.h" namespace "pyollama" nogil:
    cdef enum class SamplerType(int):
        penalties
        dry
        top_n_sigma
        top_k
        tfs_z
        typical_p
        top_p
        min_p
        xtc
        temperature

    cdef cppclass SamplingParams:
        uint32_t seed
        float temperature
        float dynatemp_range
        float dynatemp_exponent
        int32_t top_k
        float top_p
        float min_p
        float tfs_z
        float typical_p
        float top_n_sigma
        float xtc_probability
        float xtc_threshold
        int32_t min_keep
        int32_t repeat_last_n
        float repeat_penalty
        float frequency_penalty
        float presence_penalty
        bool penalize_newline
        float dry_multiplier
        float dry_base
        int32_t dry_allowed_length
        int32_t dry_penalty_last_n
        int32_t mirostat
        float mirostat_tau
        float mirostat_eta
        bool ignore_eos
        vector[string] dry_sequence_breakers
        vector[pair[llama_token, float]] logit_bias
        vector[SamplerType] samplers
        string grammar


cdef extern from "engine/sampler.h" namespace "pyollama" nogil:
    cdef cppclass CppSampler "pyollama::Sampler":
        CppSampler(shared_ptr[CppModel] model, const SamplingParams & params) except +pyollama_raise_engine_error
        void accept_prompt(const vector[llama_token] & prompt) except +pyollama_raise_engine_error
        void accept(llama_token token) except +pyollama_raise_engine_error
        llama_token sample(float * logits) except +pyollama_raise_engine_error
        vector[llama_token_data] distribution(float * logits) except +pyollama_raise_engine_error


cdef SamplingParams sampling_params(object options, uint32_t seed, object logit_bias, str grammar) except *
