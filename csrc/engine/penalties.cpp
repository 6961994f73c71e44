#include "penalties.h"

#include <algorithm>
#include <utility>

namespace pyollama {

Penalties::Penalties(const SamplingParams & params, llama_token newline)
    : window_(static_cast<size_t>(std::max(params.repeat_last_n, 0))), repeat_(params.repeat_penalty),
      frequency_(params.frequency_penalty), presence_(params.presence_penalty),
      spared_(params.penalize_newline ? LLAMA_TOKEN_NULL : newline) {}

bool Penalties::active() const noexcept {
    return window_ > 0 && (repeat_ != 1.0f || frequency_ != 0.0f || presence_ != 0.0f);
}

void Penalties::accept(llama_token token) {
    if (!active()) {
        return;
    }
    if (last_.size() == window_) {
        const auto oldest = counts_.find(last_.front());
        if (--oldest->second == 0) {
            counts_.erase(oldest);
        }
        last_.pop_front();
    }
    last_.push_back(token);
    ++counts_[token];
}

void Penalties::reset() {
    last_.clear();
    counts_.clear();
}

float Penalties::penalized(float logit, int32_t count) const noexcept {
    const float repeated = logit <= 0.0f ? logit * repeat_ : logit / repeat_;
    return repeated - static_cast<float>(count) * frequency_ - presence_;
}

void Penalties::apply(float * logits, std::vector<std::pair<llama_token, float>> & undo) const {
    for (const auto & [token, count] : counts_) {
        if (token != spared_) {
            undo.emplace_back(token, logits[token]);
            logits[token] = penalized(logits[token], count);
        }
    }
}

void Penalties::apply(llama_token_data_array * candidates) const {
    if (!active()) {
        return;
    }
    for (size_t i = 0; i < candidates->size; ++i) {
        llama_token_data & candidate = candidates->data[i];
        const auto         at        = counts_.find(candidate.id);
        if (at != counts_.end() && candidate.id != spared_) {
            candidate.logit = penalized(candidate.logit, at->second);
        }
    }
    candidates->sorted = false;
}

namespace {

const Penalties * penalties_of(const llama_sampler * sampler) {
    return static_cast<const Penalties *>(sampler->ctx);
}

const char * penalties_name(const llama_sampler * /*sampler*/) {
    return "penalties";
}

void penalties_apply(llama_sampler * sampler, llama_token_data_array * candidates) {
    penalties_of(sampler)->apply(candidates);
}

void penalties_free(llama_sampler * /*sampler*/) {} // borrowed

llama_sampler_i penalties_interface() {
    llama_sampler_i iface = {};
    iface.name            = penalties_name;
    iface.apply           = penalties_apply;
    iface.free            = penalties_free;
    return iface;
}

} // namespace

llama_sampler * sampler_init_penalties(const Penalties * penalties) {
    static llama_sampler_i iface = penalties_interface();
    return llama_sampler_init(&iface, const_cast<Penalties *>(penalties)); // the interface has no const context
}

} // namespace pyollama
