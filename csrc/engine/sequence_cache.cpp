#include "sequence_cache.h"

#include <algorithm>
#include <utility>

namespace pyollama {

size_t common_prefix(const std::vector<llama_token> & a, const std::vector<llama_token> & b) noexcept {
    const size_t n = std::min(a.size(), b.size());
    return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin()).first -
                               a.begin());
}

SequenceCache::SequenceCache(const Context & context)
    : memory_(context.memory()), n_swa_(llama_model_n_swa(context.model().get())) {
    sequences_.resize(llama_n_seq_max(context.get()));
    for (size_t i = 0; i < sequences_.size(); ++i) {
        sequences_[i].id = static_cast<llama_seq_id>(i);
    }
}

size_t SequenceCache::reusable(const Sequence & sequence, const std::vector<llama_token> & prompt) const {
    // the last token is always computed: its logits are what the first choice is made from
    return std::min(common_prefix(sequence.cells, prompt), prompt.size() - 1);
}

Sequence * SequenceCache::acquire(const RequestPtr & request) {
    const std::vector<llama_token> & prompt = request->params.prompt;

    Sequence * best      = nullptr;
    size_t     best_gain = 0;
    for (Sequence & sequence : sequences_) {
        if (!sequence.idle()) {
            continue;
        }
        size_t gain = request->params.cache_prompt ? reusable(sequence, prompt) : 0;
        // A few shared tokens (a common system prompt) are not worth the rest of somebody's long conversation.
        if (gain * 2 < sequence.cells.size()) {
            gain = 0;
        }
        // Without a gain take an empty one, else the one unused for longest. Lower ids win ties: llama.cpp computes
        // neighbouring ids in one micro-batch.
        const auto worse_than = [&](const Sequence & other) {
            if (gain != best_gain) {
                return gain > best_gain;
            }
            if (gain == 0 && sequence.cells.empty() != other.cells.empty()) {
                return sequence.cells.empty();
            }
            return !sequence.cells.empty() && sequence.last_used < other.last_used;
        };
        if (best == nullptr || worse_than(*best)) {
            best      = &sequence;
            best_gain = gain;
        }
    }
    if (best == nullptr) {
        return nullptr;
    }
    // whatever is common is free once the sequence has been chosen
    const size_t keep = request->params.cache_prompt ? reusable(*best, prompt) : 0;
    if (!cut(*best, keep)) {
        forget(*best);
    }
    best->request           = request;
    request->stats.n_cached = static_cast<int64_t>(best->cells.size());
    return best;
}

bool SequenceCache::cut(Sequence & sequence, size_t length) {
    if (length == sequence.cells.size()) {
        return true;
    }
    if (length == 0) {
        forget(sequence);
        return true;
    }
    if (!llama_memory_seq_rm(memory_, sequence.id, static_cast<llama_pos>(length), -1)) {
        return false; // recurrent state goes back to no position but the start
    }
    sequence.cells.resize(length);
    // A sliding window may already have given up cells that the new end needs.
    if (n_swa_ > 0) {
        const llama_pos first_needed = std::max<llama_pos>(0, static_cast<llama_pos>(length) - n_swa_);
        if (llama_memory_seq_pos_min(memory_, sequence.id) > first_needed) {
            return false;
        }
    }
    return true;
}

void SequenceCache::release(Sequence & sequence) {
    sequence.request.reset();
    sequence.last_used = ++clock_;
    // What follows a shift was computed in a context that is gone: a later prompt must not find it.
    if (sequence.shifted_from >= 0) {
        const size_t length   = static_cast<size_t>(sequence.shifted_from);
        sequence.shifted_from = -1;
        if (!cut(sequence, std::min(length, sequence.cells.size()))) {
            forget(sequence);
        }
    }
}

bool SequenceCache::shift(Sequence & sequence, size_t n_keep) {
    if (!llama_memory_can_shift(memory_)) {
        return false;
    }
    const size_t n_past = sequence.cells.size();
    if (n_keep + 2 > n_past) {
        return false;
    }
    const size_t n_discard = std::max<size_t>(1, (n_past - n_keep) / 2);
    const auto   keep      = static_cast<llama_pos>(n_keep);
    const auto   discard   = static_cast<llama_pos>(n_discard);
    if (!llama_memory_seq_rm(memory_, sequence.id, keep, keep + discard)) {
        return false;
    }
    llama_memory_seq_add(memory_, sequence.id, keep + discard, static_cast<llama_pos>(n_past), -discard);
    const auto from = sequence.cells.begin() + keep;
    sequence.cells.erase(from, from + discard);
    const auto moved      = static_cast<int64_t>(n_keep);
    sequence.shifted_from = sequence.shifted_from < 0 ? moved : std::min(sequence.shifted_from, moved);
    return true;
}

void SequenceCache::repair(Sequence & sequence) {
    const llama_pos last   = llama_memory_seq_pos_max(memory_, sequence.id);
    const auto      length = static_cast<size_t>(std::max<llama_pos>(last + 1, 0));
    if (length < sequence.cells.size()) {
        sequence.cells.resize(length);
    } else if (length > sequence.cells.size() && !llama_memory_seq_rm(memory_, sequence.id,
                                                                       static_cast<llama_pos>(sequence.cells.size()), -1)) {
        forget(sequence);
    }
}

void SequenceCache::forget(Sequence & sequence) {
    llama_memory_seq_rm(memory_, sequence.id, -1, -1);
    sequence.cells.clear();
    sequence.shifted_from = -1;
}

void SequenceCache::adopt(Sequence & sequence, std::vector<llama_token> tokens) {
    sequence.cells     = std::move(tokens);
    sequence.last_used = ++clock_;
}

Sequence * SequenceCache::find(const std::vector<llama_token> & tokens) {
    Sequence * best   = nullptr;
    size_t     length = 0;
    for (Sequence & sequence : sequences_) {
        const size_t n = sequence.shifted_from < 0 ? common_prefix(sequence.cells, tokens) : 0;
        if (n > length) {
            best   = &sequence;
            length = n;
        }
    }
    return best;
}

Sequence * SequenceCache::least_valuable() {
    Sequence * best = nullptr;
    for (Sequence & sequence : sequences_) {
        if (!sequence.idle()) {
            continue;
        }
        if (best == nullptr || (sequence.cells.empty() && !best->cells.empty()) ||
            (!best->cells.empty() && sequence.last_used < best->last_used)) {
            best = &sequence;
        }
    }
    return best;
}

} // namespace pyollama
