#pragma once

#include "export.h"

#include <cstdint>

namespace pyollama {

// One step of computing, as the governor sees it.
struct StepSample {
    bool     prompt       = false; // prompt tokens, not generated ones: the two cost differently
    double   microseconds = 0.0;
    uint32_t n_tokens     = 0;
    uint64_t preemptions  = 0; // how often the system took the processor from a thread of this process meanwhile
};

// How many threads the next step should use.
//
// ggml's threads meet at a barrier after every operation, some hundred times a step, and spin while they wait. Where
// another program wants the same cores, each meeting waits for a thread that the system has set aside, and a small
// model can fall to a small part of its speed, while one thread alone would lose half. So: when
// threads are being preempted, try fewer of them and keep what is faster; when the machine has room again, and now
// and then without that, try more.
class PYOLLAMA_API ThreadGovernor {
  public:
    // n_threads: the most; what the user asked for.
    explicit ThreadGovernor(int32_t n_threads) : most_(n_threads), current_(n_threads) {}

    int32_t threads() const noexcept { return current_; }

    // n_others: threads beside our own `own` computing ones that want a processor now, -1 if unknown; asked for only
    // when it matters. Preemptions alone do not tell: a caller that wakes for every token causes them too.
    void observe(const StepSample & sample, int32_t (*n_others)(int32_t own), int32_t n_processors);

  private:
    enum class Phase { steady, narrower, wider };

    void steady(double cost, double rate, int32_t (*n_others)(int32_t own), int32_t n_processors);
    void judge(double cost);
    void change_to(int32_t threads, Phase phase, double cost);

    // Shorter windows say nothing: the system hands out processors in slices of some milliseconds.
    static constexpr double window_us = 10e3;
    // A quiet machine preempts a few times a second; another busy program some hundred times.
    static constexpr double busy_rate    = 60.0;
    static constexpr double least_gap_us = 0.25e6;
    static constexpr double most_gap_us  = 16e6;

    int32_t most_;
    int32_t current_;
    int32_t previous_ = 0;
    int32_t divisor_  = 2; // of the threads, in the next trial of fewer
    Phase   phase_    = Phase::steady;
    bool    prompt_   = false; // kind of the steps in the window
    bool    skip_     = false; // the first step after a change pays for waking threads
    double  before_   = 0.0;   // cost of a token before the change that is being tried

    double   us_          = 0.0; // the window
    double   tokens_      = 0.0;
    uint64_t preemptions_ = 0;

    double clock_us_    = 0.0; // time spent computing
    double changed_us_  = 0.0; // when the number of threads changed last
    double narrow_gap_  = least_gap_us;
    double wide_gap_    = least_gap_us;
    double next_narrow_ = 0.0;
    double next_wide_   = 0.0;
};

// Measures one step from its construction on.
class StepMeter {
  public:
    StepMeter();
    StepSample sample(bool prompt, uint32_t n_tokens) const;

  private:
    int64_t  begin_ns_;
    uint64_t preemptions_;
};

// Threads on this machine that want a processor, beside `own` computing ones of this process; -1 where the system does
// not tell.
int32_t runnable_others(int32_t own);

int32_t processor_count() noexcept;

} // namespace pyollama
