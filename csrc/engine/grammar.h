#pragma once

#include "model.h"

#include "llama.h"

#include <memory>
#include <string>

namespace pyollama {

// A GBNF grammar at one point of one generation.
class Grammar {
  public:
    // text: GBNF with a rule "root". Throws Error(grammar) with the parser's words.
    Grammar(std::shared_ptr<const Model> model, const std::string & text);

    bool allows(llama_token token) const;

    // Sets the logit of every candidate that cannot come next to -inf.
    void apply(llama_token_data_array * candidates) const;

    void accept(llama_token token);

  private:
    struct Deleter {
        void operator()(llama_sampler * sampler) const noexcept { llama_sampler_free(sampler); }
    };

    std::shared_ptr<const Model>            model_; // the sampler keeps a pointer to the vocabulary
    std::unique_ptr<llama_sampler, Deleter> sampler_;
};

} // namespace pyollama
