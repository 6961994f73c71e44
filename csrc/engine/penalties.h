#pragma once

#include "sampling_params.h"

#include "llama.h"

#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pyollama {

// Repeat, frequency and presence penalties over the last n tokens, prompt included, with the newline left alone if
// penalize_newline is off. Formulas: repeat is that of CTRL (arXiv:1909.05858) with the sign fix that llama.cpp
// uses (a logit that is not positive is multiplied); the other two are OpenAI's.
class Penalties {
  public:
    Penalties(const SamplingParams & params, llama_token newline);

    bool active() const noexcept;
    void accept(llama_token token);
    void reset();

    // Edits one row in place; only the few tokens of the window are touched. undo: gets the former values.
    void apply(float * logits, std::vector<std::pair<llama_token, float>> & undo) const;
    void apply(llama_token_data_array * candidates) const;

  private:
    float penalized(float logit, int32_t count) const noexcept;

    size_t                                   window_;
    float                                    repeat_;
    float                                    frequency_;
    float                                    presence_;
    llama_token                              spared_; // LLAMA_TOKEN_NULL: none
    std::deque<llama_token>                  last_;
    std::unordered_map<llama_token, int32_t> counts_;
};

// The penalties as a link of a sampler chain, for an order that does not begin with them. `penalties` must outlive it.
llama_sampler * sampler_init_penalties(const Penalties * penalties);

} // namespace pyollama
