#pragma once

#include "error.h"

#include "llama.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pyollama {

enum class FinishReason : int {
    none      = 0, // still running
    stop      = 1, // end-of-generation token or stop string
    length    = 2, // n_predict reached, or the context is full and may not be shifted
    cancelled = 3,
    error     = 4,
};

struct Logprob {
    llama_token token   = 0;
    float       logprob = 0.0f; // natural logarithm
    std::string bytes;          // of the token, control tokens included
};

struct TokenLogprob {
    Logprob              chosen;
    std::vector<Logprob> top;
};

struct RequestStats {
    int64_t  n_prompt       = 0; // prompt tokens, cached ones included
    int64_t  n_cached       = 0; // of those, the ones whose cells were still there
    int64_t  n_generated    = 0; // the end-of-generation token included
    int64_t  queue_ns       = 0; // from submit to the first micro-batch
    int64_t  prompt_eval_ns = 0; // from there to the first token
    int64_t  eval_ns        = 0; // from the first token to the last
    uint32_t n_shifts       = 0; // how often the context was shifted
    uint32_t seed           = 0; // the one really used

    llama_token end_token = -1; // the end-of-generation token, if one ended it
};

// What happened to one request since somebody last looked: steps that nobody has collected are merged into one.
struct Event {
    uint64_t                  request_id = 0;
    std::string               text; // UTF-8
    std::vector<llama_token>  tokens;
    std::vector<TokenLogprob> logprobs;
    FinishReason              finish     = FinishReason::none;
    ErrorCode                 error_code = ErrorCode::decode;
    std::string               error;
    std::string               stop; // the stop string that ended it
    RequestStats              stats; // valid when finish is set
};

} // namespace pyollama
