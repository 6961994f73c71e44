#pragma once

#include <algorithm>
#include <cstdint>

namespace pyollama {

// How many prompt tokens the next micro-batch may hold. The cost of a prompt token is measured while running; while
// others generate, a step is kept short enough that they hardly notice, and else short enough that a new request or
// a cancel is seen soon. A place of its own so that a better policy has to change nothing else.
class PrefillBudget {
  public:
    // running: sequences that are generating. limit: most tokens of a micro-batch.
    uint32_t tokens(size_t running, uint32_t limit) const noexcept {
        if (token_us_ <= 0.0) {
            return std::min<uint32_t>(limit, first_chunk);
        }
        const double   target_us = running > 0 ? shared_step_us : lone_step_us;
        const auto     fitting   = static_cast<uint32_t>(std::min(target_us / token_us_, 1e6));
        const uint32_t least     = running > 0 ? shared_least : lone_least;
        return std::min(limit, std::max(least, fitting));
    }

    void observe(uint32_t n_tokens, double microseconds) noexcept {
        const double sample = microseconds / std::max<uint32_t>(n_tokens, 1);
        token_us_           = token_us_ <= 0.0 ? sample : 0.7 * token_us_ + 0.3 * sample;
    }

  private:
    static constexpr double   lone_step_us   = 250e3;
    static constexpr double   shared_step_us = 60e3;
    static constexpr uint32_t first_chunk    = 128;
    static constexpr uint32_t lone_least     = 64; // flash attention on the CPU is slow for fewer rows
    static constexpr uint32_t shared_least   = 8;

    double token_us_ = 0.0; // moving average
};

} // namespace pyollama
