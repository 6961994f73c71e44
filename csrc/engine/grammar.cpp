#include "grammar.h"

#include "error.h"
#include "grammar_check.h"
#include "log.h"

#include <cmath>
#include <exception>
#include <utility>

namespace pyollama {

Grammar::Grammar(std::shared_ptr<const Model> model, const std::string & text) : model_(std::move(model)) {
    check_grammar(text);
    LogCapture log;
    try {
        sampler_.reset(llama_sampler_init_grammar(model_->vocab(), text.c_str(), "root"));
    } catch (const std::exception & error) {
        throw Error(ErrorCode::grammar, std::string("the grammar cannot be compiled: ") + error.what());
    }
    if (!sampler_) {
        throw Error(ErrorCode::grammar, "the grammar cannot be compiled: " + log.summary());
    }
}

bool Grammar::allows(llama_token token) const {
    llama_token_data       one  = {token, 1.0f, 0.0f};
    llama_token_data_array list = {&one, 1, -1, false};
    apply(&list);
    return std::isfinite(one.logit);
}

void Grammar::apply(llama_token_data_array * candidates) const {
    llama_sampler_apply(sampler_.get(), candidates);
}

void Grammar::accept(llama_token token) {
    try {
        llama_sampler_accept(sampler_.get(), token);
    } catch (const std::exception & error) {
        throw Error(ErrorCode::grammar, std::string("the generated text left the grammar: ") + error.what());
    }
}

} // namespace pyollama
