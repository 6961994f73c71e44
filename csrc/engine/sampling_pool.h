#pragma once

#include "choice.h"
#include "request.h"

#include <functional>
#include <memory>

namespace pyollama {

// Threads that sample for constrained requests, so that a slow grammar delays its own stream only. They start when
// they are needed. A request's row of logits is its own copy.
//
// llama.cpp cannot be interrupted while it walks through a grammar, and an ambiguous one can keep it busy for longer
// than anybody waits. So nobody does: a thread that is given up works on for itself, another one takes its place, and
// what it finds at last goes nowhere.
class SamplingPool {
  public:
    using Done = std::function<void(const RequestPtr &, Choice &&)>; // called on a sampling thread

    SamplingPool(std::shared_ptr<const Model> model, Done done);
    ~SamplingPool(); // waits a moment for the choices being made; `done` is not called afterwards
    SamplingPool(const SamplingPool &) = delete;
    SamplingPool & operator=(const SamplingPool &) = delete;

    void submit(RequestPtr request);

    // The thread that samples for this request, if any, is not to be waited for.
    void give_up(const RequestPtr & request);

  private:
    struct State; // shared with the threads, which may outlive the pool

    std::shared_ptr<State> state_;
};

} // namespace pyollama
