# distutils: language = c++
"""Choosing a token from one row of logits: what the engine does for every request, by itself."""

from pyollama.errors import InvalidRequest

from pyollama.native.model cimport Model, token_vector

_SAMPLER_TYPES = {
    "penalties": <int> SamplerType.penalties,
    "dry": <int> SamplerType.dry,
    "top_n_sigma": <int> SamplerType.top_n_sigma,
    "top_k": <int> SamplerType.top_k,
    "tfs_z": <int> SamplerType.tfs_z,
    "typical_p": <int> SamplerType.typical_p,
    "top_p": <int> SamplerType.top_p,
    "min_p": <int> SamplerType.min_p,
    "xtc": <int> SamplerType.xtc,
    "temperature": <int> SamplerType.temperature,
}


cdef SamplingParams sampling_params(object options, uint32_t seed, object logit_bias, str grammar) except *:
    cdef SamplingParams params
    cdef pair[llama_token, float] bias
    params.seed = seed
    params.temperature = options.temperature
    params.dynatemp_range = options.dynatemp_range
    params.dynatemp_exponent = options.dynatemp_exponent
    params.top_k = options.top_k
    params.top_p = options.top_p
    params.min_p = options.min_p
    params.tfs_z = options.tfs_z
    params.typical_p = options.typical_p
    params.top_n_sigma = options.top_n_sigma
    params.xtc_probability = options.xtc_probability
    params.xtc_threshold = options.xtc_threshold
    params.min_keep = options.min_keep
    params.repeat_last_n = options.repeat_last_n
    params.repeat_penalty = options.repeat_penalty
    params.frequency_penalty = options.frequency_penalty
    params.presence_penalty = options.presence_penalty
    params.penalize_newline = options.penalize_newline
    params.dry_multiplier = options.dry_multiplier
    params.dry_base = options.dry_base
    params.dry_allowed_length = options.dry_allowed_length
    params.dry_penalty_last_n = options.dry_penalty_last_n
    params.mirostat = options.mirostat
    params.mirostat_tau = options.mirostat_tau
    params.mirostat_eta = options.mirostat_eta
    params.ignore_eos = options.ignore_eos
    params.dry_sequence_breakers.clear()
    for breaker in options.dry_sequence_breakers:
        params.dry_sequence_breakers.push_back(breaker.encode())
    params.logit_bias.clear()
    for token, value in logit_bias:
        bias.first = token
        bias.second = value
        params.logit_bias.push_back(bias)
    params.samplers.clear()
    for name in options.samplers:
        params.samplers.push_back(<SamplerType> <int> _SAMPLER_TYPES[name])
    params.grammar = grammar.encode()
    return params


cdef class Sampler:
    """The sampler of one request.

    Args:
        model: Whose vocabulary it is.
        options: A ``SamplingOptions``.
        seed: Random seed, 0 to 2**32 - 1.
        logit_bias: Pairs of (token id, bias).
        grammar: GBNF text; empty: none.
    """

    cdef unique_ptr[CppSampler] handle
    cdef int n_vocab

    def __init__(self, Model model, options, *, uint32_t seed=0, logit_bias=(), str grammar=""):
        cdef SamplingParams params = sampling_params(options, seed, logit_bias, grammar)
        self.n_vocab = model.n_vocab
        self.handle.reset(new CppSampler(model.handle, params))

    cdef void check(self, float[::1] logits) except *:
        if self.handle.get() == NULL:
            raise InvalidRequest("this sampler was not created whole")
        if logits.shape[0] != self.n_vocab:
            raise InvalidRequest(f"logits must have {self.n_vocab} values, got {logits.shape[0]}")

    def accept(self, tokens):
        """Add generated tokens to the history."""
        for token in token_vector(tokens):
            self.handle.get().accept(token)

    def accept_prompt(self, tokens):
        """Add prompt tokens to the history."""
        self.handle.get().accept_prompt(token_vector(tokens))

    def sample(self, float[::1] logits):
        """The next token. logits: float32, shape (n_vocab,), unchanged afterwards."""
        self.check(logits)
        return self.handle.get().sample(&logits[0])

    def distribution(self, float[::1] logits):
        """What the choice is made from: (token, logit, probability), best first, before the grammar."""
        self.check(logits)
        return [(item.id, item.logit, item.p) for item in self.handle.get().distribution(&logits[0])]
