#include "thread_governor.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#if !defined(_WIN32)
#    include <sys/resource.h>
#endif

namespace pyollama {

namespace {

int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

uint64_t preemption_count() {
#if defined(_WIN32)
    return 0;
#else
    rusage usage = {};
    return getrusage(RUSAGE_SELF, &usage) == 0 ? static_cast<uint64_t>(usage.ru_nivcsw) : 0;
#endif
}

} // namespace

void ThreadGovernor::observe(const StepSample & sample, int32_t (*n_others)(int32_t own), int32_t n_processors) {
    if (most_ < 2) {
        return;
    }
    clock_us_ += sample.microseconds;
    if (skip_) {
        skip_ = false;
        return;
    }
    if (sample.prompt != prompt_) {
        if (phase_ != Phase::steady) { // steps of two kinds cannot be compared: the trial begins again
            current_ = previous_;
            phase_   = Phase::steady;
            skip_    = true;
        }
        prompt_      = sample.prompt;
        us_          = 0.0;
        tokens_      = 0.0;
        preemptions_ = 0;
    }
    us_ += sample.microseconds;
    tokens_ += static_cast<double>(std::max<uint32_t>(sample.n_tokens, 1));
    preemptions_ += sample.preemptions;
    if (us_ < window_us) {
        return;
    }
    const double cost = us_ / tokens_;
    const double rate = static_cast<double>(preemptions_) / us_ * 1e6;
    us_               = 0.0;
    tokens_           = 0.0;
    preemptions_      = 0;
    if (phase_ == Phase::steady) {
        steady(cost, rate, n_others, n_processors);
    } else {
        judge(cost);
    }
}

void ThreadGovernor::steady(double cost, double rate, int32_t (*n_others)(int32_t own), int32_t n_processors) {
    if (current_ > 1 && rate > busy_rate && clock_us_ >= next_narrow_) {
        if (current_ > n_processors || n_others(current_) != 0) { // more threads than processors preempt each other
            change_to(std::max(1, current_ / divisor_), Phase::narrower, cost);
        } else {
            next_narrow_ = clock_us_ + least_gap_us; // asking costs as much as choosing a token
        }
    } else if (current_ < most_ && clock_us_ >= next_wide_) {
        const bool room = current_ + 1 + n_others(current_) <= n_processors;
        if (room || clock_us_ - changed_us_ >= most_gap_us) {
            change_to(current_ + 1, Phase::wider, cost);
        } else {
            next_wide_ = clock_us_ + least_gap_us;
        }
    }
}

void ThreadGovernor::change_to(int32_t threads, Phase phase, double cost) {
    previous_ = current_;
    current_  = threads;
    phase_    = phase;
    before_   = cost;
    skip_     = true;

    changed_us_ = clock_us_;
}

void ThreadGovernor::judge(double cost) {
    const bool better   = cost < 0.95 * before_;
    const bool narrower = phase_ == Phase::narrower;
    phase_              = Phase::steady;
    double & gap        = narrower ? narrow_gap_ : wide_gap_;
    double & next       = narrower ? next_narrow_ : next_wide_;
    if (better) {
        gap      = least_gap_us;
        divisor_ = 2;
        if (narrower) {
            next_wide_ = clock_us_ + wide_gap_;
        }
        return;
    }
    // Half of the threads can be stuck as all were: the next trial goes further.
    divisor_ = narrower && previous_ / divisor_ > 1 ? 2 * divisor_ : 2;
    current_ = previous_;
    skip_    = true;
    next     = clock_us_ + gap;
    gap      = std::min(2.0 * gap, most_gap_us);
}

StepMeter::StepMeter() : begin_ns_(now_ns()), preemptions_(preemption_count()) {}

StepSample StepMeter::sample(bool prompt, uint32_t n_tokens) const {
    StepSample result;
    result.prompt       = prompt;
    result.microseconds = static_cast<double>(now_ns() - begin_ns_) / 1e3;
    result.n_tokens     = n_tokens;
    result.preemptions  = preemption_count() - preemptions_;
    return result;
}

int32_t runnable_others(int32_t own) {
    // "0.20 0.18 0.12 1/80 11206": the fourth field is runnable threads / all threads; see proc_loadavg(5)
    struct Closer {
        void operator()(std::FILE * file) const noexcept { std::fclose(file); }
    };
    const std::unique_ptr<std::FILE, Closer> file(std::fopen("/proc/loadavg", "re"));
    unsigned                                 runnable = 0;
    if (!file || std::fscanf(file.get(), "%*f %*f %*f %u/", &runnable) != 1) {
        return -1;
    }
    return std::max(0, static_cast<int32_t>(runnable) - own);
}

int32_t processor_count() noexcept {
    return static_cast<int32_t>(std::max(1U, std::thread::hardware_concurrency()));
}

} // namespace pyollama
