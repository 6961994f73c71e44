#pragma once

#include "event.h"
#include "export.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace pyollama {

// Where a request's events wait for whoever collects them: one channel for one request, or one for many. Posting
// never blocks and holds at most one event per request, so a slow reader costs the engine nothing but the text.
class PYOLLAMA_API Channel {
  public:
    void post(Event && event);

    // Waits until there is something or the time is over or interrupt() was called; then returns all there is,
    // in the order of the first posting.
    std::vector<Event> collect(std::chrono::nanoseconds timeout);

    // Makes one collect() return early, the current one or the next.
    void interrupt();

  private:
    std::mutex                           mutex_;
    std::condition_variable              ready_;
    std::vector<Event>                   events_;
    std::unordered_map<uint64_t, size_t> index_;
    bool                                 interrupted_ = false;
};

} // namespace pyollama
