#pragma once

#include "channel.h"
#include "event.h"
#include "sampler.h"
#include "sampling_params.h"
#include "text_stream.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pyollama {

using Clock = std::chrono::steady_clock;

inline int64_t nanoseconds(Clock::duration duration) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

struct RequestParams {
    std::vector<llama_token> prompt; // at least one token
    SamplingParams           sampling;
    std::vector<std::string> stop;
    int64_t                  n_predict    = -1;   // most tokens to generate; negative: until the model stops
    int32_t                  n_keep       = 4;    // prompt tokens kept by a context shift; negative: all
    uint32_t                 n_ctx        = 0;    // most tokens in the context, 0: all that the engine has
    uint32_t                 n_batch      = 512;  // most prompt tokens in one micro-batch
    bool                     shift        = true; // false: end with `length` when the context is full
    bool                     cache_prompt = true; // reuse cells of earlier requests
    bool                     show_special = false;
    int32_t                  n_logprobs   = -1;   // -1: none, n: with the n best alternatives
};

// One request on its way through the engine. The engine thread owns all of it but `cancelled`, which anybody may set,
// and, while the phase is `sampling`, the sampler and `row`, which a sampling thread uses.
struct Request {
    enum class Phase { waiting, prefill, decode, sampling, done };

    Request(uint64_t request_id, RequestParams request_params, std::shared_ptr<Channel> to,
            std::shared_ptr<const Model> model)
        : id(request_id), params(std::move(request_params)), channel(std::move(to)),
          sampler(std::make_unique<Sampler>(std::move(model), params.sampling)), text(params.stop) {
        stats.n_prompt = static_cast<int64_t>(params.prompt.size());
        stats.seed     = params.sampling.seed;
    }

    const uint64_t                 id;
    RequestParams                  params;
    const std::shared_ptr<Channel> channel;
    std::unique_ptr<Sampler>       sampler;
    TextStream                     text;

    std::atomic<bool> cancelled{false};

    Phase              phase = Phase::waiting;
    llama_token        next  = LLAMA_TOKEN_NULL; // chosen, but not decoded yet
    std::vector<float> row;                      // logits for a sampling thread
    RequestStats       stats;
    Clock::time_point  submitted = Clock::now();
    Clock::time_point  started;
    Clock::time_point  first_token;
    Clock::time_point  sampling_since; // valid while a sampling thread chooses
};

using RequestPtr = std::shared_ptr<Request>;

} // namespace pyollama
