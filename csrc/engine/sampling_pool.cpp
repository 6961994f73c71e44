#include "sampling_pool.h"

#include <utility>

namespace pyollama {

SamplingPool::SamplingPool(std::shared_ptr<const Model> model, Done done)
    : model_(std::move(model)), done_(std::move(done)) {}

SamplingPool::~SamplingPool() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
    }
    ready_.notify_all();
    for (std::thread & thread : threads_) {
        thread.join();
    }
}

void SamplingPool::submit(RequestPtr request) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        queue_.push_back(std::move(request));
        if (threads_.size() < n_threads) {
            threads_.emplace_back([this] { work(); });
        }
    }
    ready_.notify_one();
}

void SamplingPool::work() {
    for (;;) {
        RequestPtr request;
        {
            std::unique_lock<std::mutex> lock(mutex_);
            ready_.wait(lock, [this] { return closing_ || !queue_.empty(); });
            if (closing_) {
                return;
            }
            request = std::move(queue_.front());
            queue_.pop_front();
        }
        const auto begin  = Clock::now();
        Choice     choice = choose(*request, *model_, request->row.data());
        if (!choice.failed && Clock::now() - begin > time_limit) {
            choice.failed     = true;
            choice.error_code = ErrorCode::grammar;
            choice.error      = "the grammar is too slow: one token took longer than " +
                           std::to_string(time_limit.count()) + " s to choose";
        }
        done_(request, std::move(choice));
    }
}

} // namespace pyollama
