#pragma once

#include "event.h"
#include "export.h"
#include "grammar.h"
#include "model.h"
#include "penalties.h"
#include "sampling_params.h"

#include "llama.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace pyollama {

// Chooses the next token of one request from a row of logits. Not thread-safe: one thread at a time.
//
// The usual chain (penalties first, then top_k) never builds the candidate array of the whole vocabulary: the
// penalties edit the few logits they concern and the k best are picked from the row directly, which gives the same
// candidates as the long way.
class PYOLLAMA_API Sampler {
  public:
    // Throws Error(grammar) for a grammar that cannot be compiled, Error(invalid_argument) for a bias on a token
    // outside the vocabulary.
    Sampler(std::shared_ptr<const Model> model, const SamplingParams & params);

    // The prompt is history for penalties and DRY, but no part of what the grammar sees. Throws
    // Error(invalid_argument) for a token outside the vocabulary.
    void accept_prompt(const std::vector<llama_token> & prompt);
    void accept(llama_token token);

    // logits: n_vocab floats. They are edited while the call runs and are as before when it returns.
    // Throws Error(grammar) if the grammar allows nothing, Error(decode) if no logit is a number above -inf.
    llama_token sample(float * logits);

    // What the choice is made from: candidates with their probabilities after all samplers but the last, unconstrained
    // by the grammar, best first.
    std::vector<llama_token_data> distribution(float * logits);

    bool constrained() const noexcept { return grammar_ != nullptr; }

  private:
    struct Deleter {
        void operator()(llama_sampler * sampler) const noexcept { llama_sampler_free(sampler); }
    };
    using Handle = std::unique_ptr<llama_sampler, Deleter>;
    struct Link {
        SamplerType type;
        Handle      sampler;
    };
    class EditedRow;

    bool                   greedy() const noexcept { return params_.temperature <= 0.0f; }
    void                   add_link(SamplerType type);
    void                   check(llama_token token) const;
    void                   fill_best(const float * logits);
    void                   fill_all(const float * logits);
    llama_token_data_array apply_links();
    llama_token            choose(const float * logits);
    llama_token            choose_among_candidates();
    llama_token            choose_constrained(const float * logits);

    std::shared_ptr<const Model> model_;
    SamplingParams               params_;
    size_t                       n_vocab_;
    Penalties                    penalties_;
    bool                         penalties_on_row_ = false; // they come first, so they edit the row itself
    bool                         top_k_on_row_     = false; // nothing active stands before top_k
    std::vector<Link>            links_;
    Handle                       pick_;
    std::unique_ptr<Grammar>     grammar_;

    std::vector<std::pair<llama_token, float>> bias_;
    std::vector<std::pair<llama_token, float>> undo_;
    std::vector<llama_token_data>              candidates_;
    bool                                       candidates_sorted_ = false;
};

// The log-probability of `chosen` and of the n_top best, from the raw logits: before any sampler or grammar.
TokenLogprob token_logprob(const Model & model, const float * logits, llama_token chosen, size_t n_top);

} // namespace pyollama
