# distutils: language = c++
"""How many threads a step should use: the engine asks by itself, tests and tools through this."""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libcpp cimport bool
from libcpp.memory cimport unique_ptr


cdef extern from "engine/thread_governor.h" namespace "pyollama" nogil:
    cdef cppclass StepSample:
        bool prompt
        double microseconds
        uint32_t n_tokens
        uint64_t preemptions

    cdef cppclass CppThreadGovernor "pyollama::ThreadGovernor":
        CppThreadGovernor(int32_t n_threads) except +
        int32_t threads() noexcept
        void observe(const StepSample & sample, int32_t (*n_others)(int32_t own) noexcept nogil,
                     int32_t n_processors) noexcept


cdef int32_t _none(int32_t own) noexcept nogil:
    return 0


cdef int32_t _many(int32_t own) noexcept nogil:
    return 1000000


cdef class ThreadGovernor:
    """Decides from the times of steps.

    >>> governor = ThreadGovernor(2)
    >>> governor.observe(microseconds=300e3, preemptions=90)   # a crowded machine: one thread is tried
    >>> governor.threads
    1
    """

    cdef unique_ptr[CppThreadGovernor] handle

    def __init__(self, int32_t n_threads):
        self.handle.reset(new CppThreadGovernor(n_threads))

    def observe(self, *, double microseconds, uint32_t n_tokens=1, uint64_t preemptions=0, bool prompt=False,
                bool crowded=False, int32_t n_processors=64):
        """Take note of one step. crowded: other programs want all processors."""
        cdef StepSample sample
        sample.prompt = prompt
        sample.microseconds = microseconds
        sample.n_tokens = n_tokens
        sample.preemptions = preemptions
        self.handle.get().observe(sample, _many if crowded else _none, n_processors)

    @property
    def threads(self):
        return self.handle.get().threads()
