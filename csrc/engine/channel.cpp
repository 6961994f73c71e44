#include "channel.h"

#include <iterator>
#include <utility>

namespace pyollama {

namespace {

template <typename T> void append(std::vector<T> & to, std::vector<T> && from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

} // namespace

void Channel::post(Event && event) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto [at, added] = index_.try_emplace(event.request_id, events_.size());
        if (added) {
            events_.push_back(std::move(event));
        } else {
            Event & earlier = events_[at->second];
            earlier.text += event.text;
            append(earlier.tokens, std::move(event.tokens));
            append(earlier.logprobs, std::move(event.logprobs));
            if (event.finish != FinishReason::none) {
                earlier.finish     = event.finish;
                earlier.error_code = event.error_code;
                earlier.error      = std::move(event.error);
                earlier.stop       = std::move(event.stop);
                earlier.stats      = event.stats;
            }
        }
    }
    ready_.notify_one();
}

std::vector<Event> Channel::collect(std::chrono::nanoseconds timeout) {
    std::unique_lock<std::mutex> lock(mutex_);
    ready_.wait_for(lock, timeout, [this] { return !events_.empty() || interrupted_; });
    interrupted_ = false;
    index_.clear();
    return std::exchange(events_, {});
}

void Channel::interrupt() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        interrupted_ = true;
    }
    ready_.notify_one();
}

} // namespace pyollama
