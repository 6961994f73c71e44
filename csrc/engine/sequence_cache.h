#pragma once

#include "context.h"
#include "request.h"

#include "llama.h"

#include <cstdint>
#include <vector>

namespace pyollama {

// A stream of cells in the context's memory: which tokens it holds and who uses it.
struct Sequence {
    llama_seq_id             id = 0;
    std::vector<llama_token> cells;   // tokens whose keys and values are in the memory, in order of position
    RequestPtr               request; // null: idle, the cells are cache
    uint64_t                 last_used = 0;
    int64_t                  shifted_from = -1; // from this cell on, a context shift has moved positions; -1: none

    bool idle() const noexcept { return request == nullptr; }
};

// The sequences of one context, and all knowledge of how its memory can be cut, reused and shifted. A finished
// request leaves its cells: the next request that begins with the same tokens finds them there. Used by the engine
// thread only. Sharing one prefix between different running requests will live here as well.
class SequenceCache {
  public:
    explicit SequenceCache(const Context & context);

    // Gives an idle sequence to the request, cut back to what it has in common with the prompt; at least the last
    // token of the prompt is left to compute. Null if none is idle.
    Sequence * acquire(const RequestPtr & request);

    // The request is over, its cells stay.
    void release(Sequence & sequence);

    // Makes room by removing half of what follows the first n_keep cells, and moving the rest down. False if this
    // memory cannot do it.
    bool shift(Sequence & sequence, size_t n_keep);

    // After a failed or aborted micro-batch: brings `cells` in line with what the memory still holds.
    void repair(Sequence & sequence);

    void forget(Sequence & sequence);

    // The idle sequence holds these tokens now, restored from a saved state.
    void adopt(Sequence & sequence, std::vector<llama_token> tokens);

    // The idle or running sequence that holds the longest beginning of tokens; null if none holds any.
    Sequence * find(const std::vector<llama_token> & tokens);

    // The sequence to restore a saved state into; null if all are running.
    Sequence * least_valuable();

    std::vector<Sequence> &       all() noexcept { return sequences_; }
    const std::vector<Sequence> & all() const noexcept { return sequences_; }

  private:
    bool   cut(Sequence & sequence, size_t length);
    size_t reusable(const Sequence & sequence, const std::vector<llama_token> & prompt) const;

    llama_memory_t        memory_;
    int32_t               n_swa_;
    std::vector<Sequence> sequences_;
    uint64_t              clock_ = 0;
};

size_t common_prefix(const std::vector<llama_token> & a, const std::vector<llama_token> & b) noexcept;

} // namespace pyollama
