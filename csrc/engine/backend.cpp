#include "backend.h"

#include "error.h"
#include "log.h"

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "llama.h"

#include <future>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

namespace pyollama {

namespace {

ggml_backend_reg_t cpu_reg() {
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (device == nullptr) {
        throw Error(ErrorCode::load, "no CPU backend is loaded: the installation is incomplete, reinstall pyollama");
    }
    return ggml_backend_dev_backend_reg(device);
}

// The CPU backend may be a library that was loaded at run time: its functions are asked for by name.
template <typename Function> Function * cpu_function(const char * name) {
    void * address = ggml_backend_reg_get_proc_address(cpu_reg(), name);
    if (address == nullptr) {
        throw Error(ErrorCode::load, std::string("the CPU backend lacks ") + name);
    }
    return reinterpret_cast<Function *>(address);
}

} // namespace

void backend_init(const std::string & directory) {
    static std::once_flag once;
    std::call_once(once, [&directory] {
        log_install();
        llama_backend_init();
#ifdef GGML_BACKEND_DL
        ggml_backend_load_all_from_path(directory.c_str());
#else
        (void) directory;
#endif
    });
}

void backend_enable_numa() {
    static std::once_flag once;
    std::call_once(once, [] { llama_numa_init(GGML_NUMA_STRATEGY_DISTRIBUTE); });
}

std::vector<Device> backend_devices() {
    std::vector<Device> devices;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        size_t             free_bytes = 0;
        size_t             total_bytes = 0;
        ggml_backend_dev_memory(dev, &free_bytes, &total_bytes);
        const enum ggml_backend_dev_type type = ggml_backend_dev_type(dev);

        Device device;
        device.name         = ggml_backend_dev_name(dev);
        device.description  = ggml_backend_dev_description(dev);
        device.backend      = ggml_backend_reg_name(ggml_backend_dev_backend_reg(dev));
        device.is_gpu       = type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
        device.memory_free  = free_bytes;
        device.memory_total = total_bytes;
        devices.push_back(device);
    }
    return devices;
}

std::string backend_system_info() {
    return llama_print_system_info();
}

namespace {

// ggml aborts the process where a thread cannot be created, so all are created once before.
void probe_threads(int32_t n_threads) {
    std::vector<std::thread> threads;
    std::promise<void>       done;
    const auto               wait = done.get_future().share();
    bool                     short_of_threads = false;
    try {
        for (int32_t i = 0; i < n_threads; ++i) {
            threads.emplace_back([wait] { wait.wait(); });
        }
    } catch (const std::system_error &) {
        short_of_threads = true;
    }
    done.set_value();
    for (std::thread & thread : threads) {
        thread.join();
    }
    if (short_of_threads) {
        throw Error(ErrorCode::load, "the system lets this process have " + std::to_string(threads.size()) + " of " +
                                         std::to_string(n_threads) + " threads: ask for fewer");
    }
}

} // namespace

Threadpool::Threadpool(int32_t n_threads, uint32_t poll) {
    probe_threads(n_threads);
    ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
    params.poll                   = poll;
    auto * create                 = cpu_function<decltype(ggml_threadpool_new)>("ggml_threadpool_new");
    pool_.reset(create(&params));
    if (!pool_) {
        throw Error(ErrorCode::load, "could not create a pool of " + std::to_string(n_threads) + " threads");
    }
}

void Threadpool::Deleter::operator()(ggml_threadpool * pool) const noexcept {
    void * address = ggml_backend_reg_get_proc_address(
        ggml_backend_dev_backend_reg(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)), "ggml_threadpool_free");
    if (address != nullptr) {
        reinterpret_cast<decltype(ggml_threadpool_free) *>(address)(pool);
    }
}

} // namespace pyollama
