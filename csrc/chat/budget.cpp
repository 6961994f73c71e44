#include "budget.h"

#include <stdexcept>
#include <vector>

namespace pyollama::chat {

namespace {

thread_local Budget * current_budget = nullptr;

uintptr_t stack_position() noexcept {
    volatile char here = 0;
    return reinterpret_cast<uintptr_t>(&here);
}

} // namespace

Budget::Budget(std::chrono::milliseconds time, std::time_t now, size_t input)
    : deadline_(std::chrono::steady_clock::now() + time), time_(time), now_(now),
      max_steps_(5'000'000 + uint64_t(8) * input), max_bytes_((size_t(512) << 20) + size_t(65536) * input),
      stack_(stack_position()) {
    current_budget = this;
}

Budget::~Budget() {
    current_budget = nullptr;
}

Budget * Budget::current() noexcept {
    return current_budget;
}

void Budget::step() {
    if (!failure_.empty()) {
        throw std::runtime_error(failure_);
    }
    const uintptr_t here  = stack_position();
    const uintptr_t depth = here < stack_ ? stack_ - here : here - stack_;
    if (depth > max_stack) {
        fail("the template calls itself too deeply");
    }
    if (++steps_ > max_steps_) {
        fail("the template takes more than " + std::to_string(max_steps_) + " steps");
    }
    if (steps_ % 64 == 0 && std::chrono::steady_clock::now() > deadline_) {
        fail("the template takes longer than " + std::to_string(time_.count()) + " ms");
    }
}

void Budget::charge(size_t size) {
    bytes_ += size;
    if (bytes_ > max_bytes_) {
        fail("the template makes more than " + std::to_string(max_bytes_ >> 20) + " MiB of values");
    }
}

void Budget::fail(const std::string & reason) {
    failure_ = reason;
    throw std::runtime_error(reason);
}

std::string format_time(std::time_t time, const std::string & format) {
    if (format.empty()) {
        return ""; // strftime answers 0 for this as well as for a buffer that is too small
    }
    std::tm local{};
#if defined(_WIN32)
    if (localtime_s(&local, &time) != 0) {
        throw std::runtime_error("the time is out of range");
    }
#else
    if (localtime_r(&time, &local) == nullptr) {
        throw std::runtime_error("the time is out of range");
    }
#endif
    std::vector<char> buffer(1024);
    const size_t      size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
    if (size == 0) {
        throw std::runtime_error("strftime_now: the format is too long");
    }
    return std::string(buffer.data(), size);
}

} // namespace pyollama::chat
