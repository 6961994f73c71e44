#pragma once

#include "export.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct ggml_threadpool;

namespace pyollama {

struct Device {
    std::string name;
    std::string description;
    std::string backend; // "CPU", "CUDA0", ...
    bool        is_gpu = false;
    uint64_t    memory_free  = 0; // bytes
    uint64_t    memory_total = 0; // bytes
};

// Starts llama.cpp once per process and sends its log to our sink. directory: where dynamically loaded ggml
// backends lie (only used by builds with GGML_BACKEND_DL); nothing else is ever searched. Idempotent, thread-safe.
PYOLLAMA_API void backend_init(const std::string & directory);

// Spreads ggml's threads over NUMA nodes. A process-wide switch of ggml that cannot be undone; later calls do nothing.
PYOLLAMA_API void backend_enable_numa();

PYOLLAMA_API std::vector<Device> backend_devices();
PYOLLAMA_API std::string         backend_system_info();

// Threads that live as long as the context they compute for, so that no call pays for creating them.
class Threadpool {
  public:
    // poll: ggml's polling level; one level keeps an idle thread spinning for about 4 ms before it sleeps.
    Threadpool(int32_t n_threads, uint32_t poll);

    ggml_threadpool * get() const noexcept { return pool_.get(); }

  private:
    struct Deleter {
        void operator()(ggml_threadpool * pool) const noexcept;
    };
    std::unique_ptr<ggml_threadpool, Deleter> pool_;
};

} // namespace pyollama
