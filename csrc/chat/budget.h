#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>

namespace pyollama::chat {

// What one rendering may use. Active for its thread from construction to destruction; not nested.
// The first limit that is reached throws std::runtime_error at every later check too, because the engine swallows
// exceptions in places: ask failure() after the engine returned.
//
// Not limited: the memory that a single builtin such as replace() takes in one call.
class Budget {
  public:
    // time: wall-clock limit. now: what strftime_now() of the template sees. input: size of the request in bytes; the
    // other limits grow with it, because templates that collect the prompt in a variable copy it at every message.
    Budget(std::chrono::milliseconds time, std::time_t now, size_t input = 0);
    ~Budget();
    Budget(const Budget &) = delete;
    Budget & operator=(const Budget &) = delete;

    // The budget of this thread, or nullptr.
    static Budget * current() noexcept;

    std::time_t         now() const noexcept { return now_; }
    const std::string & failure() const noexcept { return failure_; }

    void step();              // one evaluation; looks at the clock now and then, and at the depth of the stack
    void charge(size_t size); // bytes that an evaluation made
    [[noreturn]] void fail(const std::string & reason);

  private:
    static constexpr size_t max_stack = size_t(512) << 10;

    std::chrono::steady_clock::time_point deadline_;
    std::chrono::milliseconds             time_;
    std::time_t                           now_;
    uint64_t                              max_steps_;
    size_t                                max_bytes_; // of all values ever made, not of those alive
    uintptr_t                             stack_; // where the stack was at the start
    uint64_t                              steps_ = 0;
    size_t                                bytes_ = 0;
    std::string                           failure_;
};

// Local time as strftime prints it; safe in any thread, unlike the engine's own.
std::string format_time(std::time_t time, const std::string & format);

} // namespace pyollama::chat
