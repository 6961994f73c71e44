#include "embedder.h"

#include "error.h"
#include "log.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace pyollama {

namespace {

// Attention of an encoder is computed over the whole micro-batch, so its cost grows with the square of this: 512 was
// the best of 128 to 4096 on a CPU for short texts. A longer input needs a batch as long as itself.
constexpr uint32_t tokens_per_batch = 512;
constexpr uint32_t inputs_per_batch = 64;

enum llama_pooling_type pooling_of(const Model & model) {
    char         text[16] = {};
    char         arch[64] = {};
    llama_model_meta_val_str(model.get(), "general.architecture", arch, sizeof(arch));
    const std::string key = std::string(arch) + ".pooling_type";
    const int32_t     n   = llama_model_meta_val_str(model.get(), key.c_str(), text, sizeof(text));
    const bool        has = n > 0 && std::string(text) != "0";
    return has ? LLAMA_POOLING_TYPE_UNSPECIFIED : LLAMA_POOLING_TYPE_LAST;
}

ContextParams adapt(const Model & model, ContextParams params) {
    params.embeddings = true;
    params.n_seq_max  = inputs_per_batch;
    params.pooling    = pooling_of(model);
    params.n_ubatch   = std::max(params.n_ctx_seq, tokens_per_batch);
    return params;
}

} // namespace

Embedder::Embedder(std::shared_ptr<Model> model, ContextParams params)
    : params_(adapt(*model, params)),
      context_(std::move(model), params_, [](void * self) { return static_cast<const Embedder *>(self)->closed_.load(); },
               this),
      n_embd_(llama_model_n_embd_out(context_.model().get())), governor_(params_.n_threads) {
    if (llama_model_has_encoder(context_.model().get()) && llama_model_has_decoder(context_.model().get())) {
        throw Error(ErrorCode::unsupported, "embeddings of encoder-decoder models are not supported");
    }
}

Embedder::~Embedder() = default;

void Embedder::close() {
    closed_.store(true);
    std::lock_guard<std::mutex> lock(mutex_);
}

MemoryUse Embedder::memory_use() const {
    return context_.memory_use();
}

void Embedder::embed(const std::vector<std::vector<llama_token>> & inputs, float * out) {
    for (const auto & input : inputs) {
        if (input.empty()) {
            throw Error(ErrorCode::invalid_argument, "an input has no tokens: there is nothing to embed");
        }
        if (input.size() > params_.n_ctx_seq) {
            throw Error(ErrorCode::context_full, "an input has " + std::to_string(input.size()) +
                                                     " tokens, the context holds " + std::to_string(params_.n_ctx_seq));
        }
        for (const llama_token token : input) {
            if (!context_.model().is_valid(token)) {
                throw Error(ErrorCode::invalid_argument, "token " + std::to_string(token) + " is not in the vocabulary");
            }
        }
    }
    size_t next = 0;
    while (next < inputs.size()) {
        std::vector<size_t> chosen;
        size_t              n_tokens = 0;
        while (next < inputs.size() && chosen.size() < inputs_per_batch &&
               (chosen.empty() || n_tokens + inputs[next].size() <= tokens_per_batch)) {
            n_tokens += inputs[next].size();
            chosen.push_back(next++);
        }
        std::lock_guard<std::mutex> lock(mutex_);
        if (closed_.load()) {
            throw Error(ErrorCode::closed, "the model was closed");
        }
        compute(inputs, chosen, out);
    }
}

void Embedder::compute(const std::vector<std::vector<llama_token>> & inputs, const std::vector<size_t> & chosen,
                       float * out) {
    std::vector<llama_token>    tokens;
    std::vector<llama_pos>      positions;
    std::vector<llama_seq_id>   ids;
    for (size_t s = 0; s < chosen.size(); ++s) {
        const auto & input = inputs[chosen[s]];
        for (size_t i = 0; i < input.size(); ++i) {
            tokens.push_back(input[i]);
            positions.push_back(static_cast<llama_pos>(i));
            ids.push_back(static_cast<llama_seq_id>(s));
        }
    }
    std::vector<int32_t>        counts(tokens.size(), 1);
    std::vector<int8_t>         outputs(tokens.size(), 1);
    std::vector<llama_seq_id *> id_pointers(tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
        id_pointers[i] = &ids[i];
    }
    llama_batch batch = {};
    batch.n_tokens    = static_cast<int32_t>(tokens.size());
    batch.token       = tokens.data();
    batch.pos         = positions.data();
    batch.n_seq_id    = counts.data();
    batch.seq_id      = id_pointers.data();
    batch.logits      = outputs.data();

    llama_set_n_threads(context_.get(), governor_.threads(), governor_.threads());
    LogCapture      log;
    const StepMeter meter;
    int32_t         result = 0;
    if (context_.memory() != nullptr) {
        llama_memory_clear(context_.memory(), false);
        result = llama_decode(context_.get(), batch);
    } else {
        result = llama_encode(context_.get(), batch);
    }
    if (result != 0) {
        if (closed_.load()) {
            throw Error(ErrorCode::closed, "the model was closed");
        }
        throw Error(ErrorCode::decode, "llama.cpp failed with code " + std::to_string(result) + " on a batch of " +
                                           std::to_string(tokens.size()) + " tokens: " + log.summary());
    }
    governor_.observe(meter.sample(true, static_cast<uint32_t>(tokens.size())), runnable_others, processor_count());
    for (size_t s = 0; s < chosen.size(); ++s) {
        const float * row = llama_get_embeddings_seq(context_.get(), static_cast<llama_seq_id>(s));
        if (row == nullptr) {
            throw Error(ErrorCode::decode, "llama.cpp returned no embedding: the model may not produce any");
        }
        std::memcpy(out + chosen[s] * static_cast<size_t>(n_embd_), row, static_cast<size_t>(n_embd_) * sizeof(float));
    }
}

} // namespace pyollama
