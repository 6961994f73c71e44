#include "choice.h"

#include <exception>

namespace pyollama {

Choice choose(Request & request, const Model & model, float * logits) noexcept {
    Choice choice;
    try {
        choice.token = request.sampler->sample(logits);
        if (request.params.n_logprobs >= 0) {
            choice.logprob =
                token_logprob(model, logits, choice.token, static_cast<size_t>(request.params.n_logprobs));
        }
        request.sampler->accept(choice.token);
    } catch (const Error & error) {
        choice.failed     = true;
        choice.error_code = error.code();
        choice.error      = error.what();
    } catch (const std::exception & error) {
        choice.failed = true;
        choice.error  = std::string("sampling failed: ") + error.what();
    }
    return choice;
}

} // namespace pyollama
