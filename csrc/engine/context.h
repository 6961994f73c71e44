#pragma once

#include "backend.h"
#include "export.h"
#include "model.h"

#include "llama.h"

#include <cstdint>
#include <memory>

namespace pyollama {

struct ContextParams {
    uint32_t        n_ctx_seq       = 4096; // cells of one sequence
    uint32_t        n_seq_max       = 1;    // sequences, each with its own stream of cells
    uint32_t        n_ubatch        = 512;  // most tokens in one micro-batch
    int32_t         n_threads       = 1;
    uint32_t        poll            = 3;
    int32_t         flash_attn      = -1;   // -1 auto, 0 off, 1 on
    enum ggml_type  type_k          = GGML_TYPE_F16;
    enum ggml_type  type_v          = GGML_TYPE_F16;
    float           rope_freq_base  = 0.0f; // 0: the model's
    float           rope_freq_scale = 0.0f; // 0: the model's
    bool            offload_kqv     = true;
    bool            embeddings      = false;

    enum llama_pooling_type pooling = LLAMA_POOLING_TYPE_UNSPECIFIED; // unspecified: the model's
};

struct MemoryUse { // bytes
    uint64_t model   = 0;
    uint64_t context = 0;
    uint64_t compute = 0;
    uint64_t gpu     = 0; // the part of the three above that is not in host memory
};

// A llama_context with its threads and the model's adapters, created whole or not at all.
class Context {
  public:
    // Throws Error(load) with llama.cpp's words.
    Context(std::shared_ptr<Model> model, const ContextParams & params, ggml_abort_callback abort, void * abort_data);
    ~Context();
    Context(const Context &) = delete;
    Context & operator=(const Context &) = delete;

    llama_context * get() const noexcept { return context_.get(); }
    llama_memory_t  memory() const noexcept { return llama_get_memory(context_.get()); }
    const Model &   model() const noexcept { return *model_; }

    std::shared_ptr<Model> shared_model() const noexcept { return model_; }

    MemoryUse memory_use() const;

  private:
    struct Deleter {
        void operator()(llama_context * context) const noexcept { llama_free(context); }
    };

    std::shared_ptr<Model>                  model_;
    std::unique_ptr<Threadpool>             threads_; // outlives the context that computes with it
    std::unique_ptr<llama_context, Deleter> context_;
};

PYOLLAMA_API int64_t live_contexts() noexcept;

} // namespace pyollama
