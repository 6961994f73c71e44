#include "context.h"

#include "error.h"
#include "log.h"

#include "../src/llama-ext.h" // llama_get_memory_breakdown: exported, but not in llama.h

#include <atomic>
#include <exception>
#include <string>
#include <utility>

namespace pyollama {

namespace {

std::atomic<int64_t> live_count{0};

llama_context_params native_params(const ContextParams & params) {
    llama_context_params native = llama_context_default_params();
    // Embeddings keep nothing between two batches: one batch's cells are enough, for all its inputs together.
    native.n_ctx                = params.embeddings ? params.n_ubatch : params.n_ctx_seq * params.n_seq_max;
    native.n_seq_max            = params.n_seq_max;
    native.n_batch              = params.n_ubatch;
    native.n_ubatch             = params.n_ubatch;
    // One row of logits per running sequence, not one per token of a batch: with a vocabulary of 128k the
    // difference is 250 MB.
    native.n_outputs_max   = params.embeddings ? 0 : params.n_seq_max;
    native.n_threads       = params.n_threads;
    native.n_threads_batch = params.n_threads;
    native.flash_attn_type = static_cast<llama_flash_attn_type>(params.flash_attn);
    native.type_k          = params.type_k;
    native.type_v          = params.type_v;
    native.rope_freq_base  = params.rope_freq_base;
    native.rope_freq_scale = params.rope_freq_scale;
    native.offload_kqv     = params.offload_kqv;
    native.embeddings      = params.embeddings;
    native.pooling_type    = params.pooling;
    native.kv_unified      = params.embeddings;
    native.no_perf         = true;
    return native;
}

} // namespace

int64_t live_contexts() noexcept {
    return live_count.load();
}

Context::Context(std::shared_ptr<Model> model, const ContextParams & params, ggml_abort_callback abort,
                 void * abort_data)
    : model_(std::move(model)), threads_(std::make_unique<Threadpool>(params.n_threads, params.poll)) {
    if (model_->vocab_only()) {
        throw Error(ErrorCode::unsupported, "the model was loaded with vocab_only: it can tokenize, nothing else");
    }
    LogCapture           log;
    llama_context_params native = native_params(params);
    native.abort_callback       = abort;
    native.abort_callback_data  = abort_data;
    std::string what;
    try {
        context_.reset(llama_init_from_model(model_->get(), native));
    } catch (const std::exception & error) {
        what = error.what();
    }
    if (!context_) {
        if (what.empty()) {
            what = log.summary();
        }
        throw Error(ErrorCode::load, "could not create a context of " + std::to_string(params.n_seq_max) + " x " +
                                         std::to_string(params.n_ctx_seq) + " tokens: " +
                                         (what.empty() ? std::string("llama.cpp gave no reason, memory may be short") : what));
    }
    llama_attach_threadpool(context_.get(), threads_->get(), threads_->get());

    const auto & adapters = model_->adapters();
    if (!adapters.empty()) {
        std::vector<llama_adapter_lora *> pointers = adapters;
        std::vector<float>                scales   = model_->adapter_scales();
        if (llama_set_adapters_lora(context_.get(), pointers.data(), pointers.size(), scales.data()) != 0) {
            throw Error(ErrorCode::load, "the adapters could not be attached: " + log.summary());
        }
    }
    live_count.fetch_add(1);
}

Context::~Context() {
    llama_detach_threadpool(context_.get());
    live_count.fetch_sub(1);
}

MemoryUse Context::memory_use() const {
    MemoryUse use;
    for (const auto & [buffer_type, data] : llama_get_memory_breakdown(context_.get())) {
        use.model += data.model;
        use.context += data.context;
        use.compute += data.compute;
        if (!ggml_backend_buft_is_host(buffer_type)) {
            use.gpu += data.total();
        }
    }
    return use;
}

} // namespace pyollama
