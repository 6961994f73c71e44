#pragma once

#include "choice.h"
#include "request.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace pyollama {

// Threads that sample for constrained requests, so that a slow grammar delays its own stream only. They start with
// the first such request. A request's row of logits is its own copy.
class SamplingPool {
  public:
    using Done = std::function<void(const RequestPtr &, Choice &&)>; // called on a sampling thread

    SamplingPool(std::shared_ptr<const Model> model, Done done);
    ~SamplingPool(); // waits for the choices being made
    SamplingPool(const SamplingPool &) = delete;
    SamplingPool & operator=(const SamplingPool &) = delete;

    void submit(RequestPtr request);

  private:
    static constexpr size_t n_threads = 2;
    // One choice that takes longer than this ends its request: at that pace no answer would ever come.
    static constexpr std::chrono::seconds time_limit{10};

    void work();

    const std::shared_ptr<const Model> model_;
    const Done                         done_;
    std::mutex                         mutex_;
    std::condition_variable            ready_;
    std::deque<RequestPtr>             queue_;
    std::vector<std::thread>           threads_;
    bool                               closing_ = false;
};

} // namespace pyollama
