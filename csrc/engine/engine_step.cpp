// One step of the engine: micro-batches, and what their logits lead to. Runs on the engine thread.

#include "engine.h"
#include "error.h"
#include "log.h"

#include <algorithm>
#include <utility>

namespace pyollama {

void Engine::Batch::clear() {
    tokens.clear();
    positions.clear();
    ids.clear();
    outputs.clear();
}

int32_t Engine::Batch::add(llama_token token, size_t position, llama_seq_id id, bool output) {
    tokens.push_back(token);
    positions.push_back(static_cast<llama_pos>(position));
    ids.push_back(id);
    outputs.push_back(output ? 1 : 0);
    return static_cast<int32_t>(tokens.size()) - 1;
}

void Engine::decode_step() {
    batch_.clear();
    taking_part_.clear();
    for (Sequence & sequence : cache_.all()) { // by id: llama.cpp joins neighbours into one micro-batch
        if (sequence.idle() || sequence.request->phase != Request::Phase::decode) {
            continue;
        }
        Request & request = *sequence.request;
        if (sequence.cells.size() >= request.params.n_ctx) {
            const size_t n_keep = request.params.n_keep < 0
                                      ? request.params.prompt.size()
                                      : std::min(static_cast<size_t>(request.params.n_keep), request.params.prompt.size());
            if (!request.params.shift || !cache_.shift(sequence, n_keep)) {
                finish(sequence, FinishReason::length);
                continue;
            }
            ++request.stats.n_shifts;
        }
        batch_.add(request.next, sequence.cells.size(), sequence.id, true);
        taking_part_.push_back(&sequence);
    }
    if (taking_part_.empty() || !compute(taking_part_, false)) {
        return;
    }
    for (size_t i = 0; i < taking_part_.size(); ++i) {
        Sequence & sequence = *taking_part_[i];
        sequence.cells.push_back(sequence.request->next);
        take_logits(sequence, static_cast<int32_t>(i));
    }
}

void Engine::prefill_step() {
    size_t running = 0;
    taking_part_.clear();
    for (Sequence & sequence : cache_.all()) {
        if (sequence.idle()) {
            continue;
        }
        if (sequence.request->phase == Request::Phase::prefill) {
            taking_part_.push_back(&sequence);
        } else {
            ++running;
        }
    }
    if (taking_part_.empty()) {
        return;
    }

    // every waiting prompt gets the same share; what short ones leave goes to the others
    std::vector<uint32_t> shares(taking_part_.size(), 0);
    uint32_t              left = std::max(budget_.tokens(running, params_.n_ubatch), static_cast<uint32_t>(shares.size()));
    const auto            room = [this, &shares](size_t i) {
        const Sequence & sequence = *taking_part_[i];
        const auto       rest     = static_cast<uint32_t>(sequence.request->params.prompt.size() - sequence.cells.size());
        return std::min(rest, sequence.request->params.n_batch) - shares[i];
    };
    for (bool progress = true; left > 0 && progress;) {
        progress            = false;
        const uint32_t each = std::max<uint32_t>(1, left / static_cast<uint32_t>(shares.size()));
        for (size_t i = 0; i < shares.size() && left > 0; ++i) {
            const uint32_t more = std::min({each, left, room(i)});
            shares[i] += more;
            left -= more;
            progress = progress || more > 0;
        }
    }

    batch_.clear();
    std::vector<int32_t> rows(taking_part_.size(), -1);
    for (size_t i = 0; i < taking_part_.size(); ++i) {
        const Sequence & sequence = *taking_part_[i];
        const auto &     prompt   = sequence.request->params.prompt;
        for (uint32_t j = 0; j < shares[i]; ++j) {
            const size_t position = sequence.cells.size() + j;
            const bool   last     = position + 1 == prompt.size();
            const auto   index    = batch_.add(prompt[position], position, sequence.id, last);
            if (last) {
                rows[i] = index;
            }
        }
    }
    if (!compute(taking_part_, true)) {
        return;
    }
    for (size_t i = 0; i < taking_part_.size(); ++i) {
        Sequence &   sequence = *taking_part_[i];
        const auto & prompt   = sequence.request->params.prompt;
        const auto   from     = prompt.begin() + static_cast<std::ptrdiff_t>(sequence.cells.size());
        sequence.cells.insert(sequence.cells.end(), from, from + static_cast<std::ptrdiff_t>(shares[i]));
        if (rows[i] >= 0) {
            take_logits(sequence, rows[i]);
        }
    }
}

bool Engine::compute(const std::vector<Sequence *> & taking_part, bool prompt) {
    const size_t n = batch_.tokens.size();
    batch_.id_counts.assign(n, 1);
    batch_.id_pointers.resize(n);
    for (size_t i = 0; i < n; ++i) {
        batch_.id_pointers[i] = &batch_.ids[i];
    }
    llama_batch native = {};
    native.n_tokens    = static_cast<int32_t>(n);
    native.token       = batch_.tokens.data();
    native.pos         = batch_.positions.data();
    native.n_seq_id    = batch_.id_counts.data();
    native.seq_id      = batch_.id_pointers.data();
    native.logits      = batch_.outputs.data();

    in_flight_.clear();
    for (const Sequence * sequence : taking_part) {
        in_flight_.push_back(sequence->request.get());
    }
    llama_set_n_threads(context_.get(), governor_.threads(), governor_.threads());
    LogCapture      log;
    const StepMeter meter;
    const int32_t   result = llama_decode(context_.get(), native);
    // a GPU computes on its own: wait here, so that a step's time is true and a cancel cannot hit the next step
    llama_synchronize(context_.get());
    in_flight_.clear();
    if (result == 0) {
        const StepSample sample = meter.sample(prompt, static_cast<uint32_t>(n));
        governor_.observe(sample, runnable_others, processor_count());
        if (prompt) {
            budget_.observe(sample.n_tokens, sample.microseconds);
        }
        std::lock_guard<std::mutex> lock(mutex_);
        status_.n_decoded += n;
        return true;
    }
    for (Sequence * sequence : taking_part) {
        if (result == 2) { // aborted: what was computed before stays usable
            cache_.repair(*sequence);
        } else {
            fail(*sequence, result == 1 ? ErrorCode::context_full : ErrorCode::decode,
                 "llama_decode failed with code " + std::to_string(result) + " on a batch of " + std::to_string(n) +
                     " tokens: " + log.summary());
            cache_.forget(*sequence);
        }
    }
    return false;
}

void Engine::take_logits(Sequence & sequence, int32_t row) {
    Request & request = *sequence.request;
    if (request.params.n_predict == 0) {
        finish(sequence, FinishReason::length);
        return;
    }
    float * logits = llama_get_logits_ith(context_.get(), row);
    if (logits == nullptr) {
        fail(sequence, ErrorCode::decode, "llama.cpp returned no logits for row " + std::to_string(row));
        return;
    }
    if (request.sampler->constrained()) {
        request.row.assign(logits, logits + model_.n_vocab());
        request.phase          = Request::Phase::sampling;
        request.sampling_since = Clock::now();
        pool_->submit(sequence.request);
        return;
    }
    advance(sequence, choose(request, model_, logits));
}

void Engine::advance(Sequence & sequence, Choice && choice) {
    Request & request = *sequence.request;
    request.phase     = Request::Phase::decode;
    if (choice.failed) {
        fail(sequence, choice.error_code, choice.error);
        return;
    }
    if (request.stats.n_generated == 0) {
        request.first_token          = Clock::now();
        request.stats.prompt_eval_ns = nanoseconds(request.first_token - request.started);
    }
    ++request.stats.n_generated;
    if (llama_vocab_is_eog(model_.vocab(), choice.token)) {
        request.stats.end_token = choice.token;
        finish(sequence, FinishReason::stop);
        return;
    }
    Event event;
    event.request_id = request.id;
    event.tokens.push_back(choice.token);
    event.text = request.text.push(model_.piece(choice.token, request.params.show_special));
    if (choice.logprob) {
        event.logprobs.push_back(std::move(*choice.logprob));
    }
    request.channel->post(std::move(event));
    request.next = choice.token;
    if (request.text.stopped()) {
        finish(sequence, FinishReason::stop);
    } else if (request.params.n_predict > 0 && request.stats.n_generated >= request.params.n_predict) {
        finish(sequence, FinishReason::length);
    }
}

} // namespace pyollama
