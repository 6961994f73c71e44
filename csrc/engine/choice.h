#pragma once

#include "error.h"
#include "event.h"
#include "request.h"

#include <optional>
#include <string>

namespace pyollama {

// What sampling one row of logits gave.
struct Choice {
    llama_token                 token = LLAMA_TOKEN_NULL;
    std::optional<TokenLogprob> logprob;
    bool                        failed     = false;
    ErrorCode                   error_code = ErrorCode::decode;
    std::string                 error;
};

// Samples, tells the sampler, and measures the log-probabilities if the request wants them. Never throws.
Choice choose(Request & request, const Model & model, float * logits) noexcept;

} // namespace pyollama
