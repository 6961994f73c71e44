#pragma once

#include "context.h"
#include "export.h"
#include "model.h"
#include "thread_governor.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace pyollama {

// Embeddings of token sequences, many per micro-batch, in a context of their own. Calls from several threads take
// turns, one micro-batch each.
class PYOLLAMA_API Embedder {
  public:
    // params.n_ctx_seq is the longest input; a model without a pooling of its own gives the state after the last token.
    Embedder(std::shared_ptr<Model> model, ContextParams params);
    ~Embedder(); // in the library: what it destroys is not exported
    Embedder(const Embedder &) = delete;
    Embedder & operator=(const Embedder &) = delete;

    // Neighbours share micro-batches, so inputs of like length should stand together.
    // One row of n_embd() floats for each input, not normalized, written to out (inputs.size() * n_embd() floats).
    // Throws Error(invalid_argument) for an empty input or a token outside the vocabulary, Error(context_full) for an
    // input longer than n_ctx(), Error(cancelled) after close().
    void embed(const std::vector<std::vector<llama_token>> & inputs, float * out);

    int32_t  n_embd() const noexcept { return n_embd_; }
    uint32_t n_ctx() const noexcept { return params_.n_ctx_seq; }

    MemoryUse memory_use() const;

    // Running calls end with Error(closed); waits until the current micro-batch is over. Idempotent.
    void close();

  private:
    void compute(const std::vector<std::vector<llama_token>> & inputs, const std::vector<size_t> & chosen, float * out);

    std::atomic<bool>   closed_{false};
    const ContextParams params_;
    Context             context_;
    int32_t             n_embd_;
    ThreadGovernor      governor_; // guarded by mutex_
    std::mutex          mutex_;
};

} // namespace pyollama
