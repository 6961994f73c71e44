#include "deep_stack.h"

#include "error.h"

#include <exception>
#include <string>

#if !defined(_WIN32)
#    include <pthread.h>
#endif

namespace pyollama {

#if defined(_WIN32)

void run_with_stack(size_t /*bytes*/, const std::function<void()> & work) {
    work();
}

#else

namespace {

struct Job {
    const std::function<void()> & work;
    std::exception_ptr            error;
};

void * run(void * argument) {
    auto * job = static_cast<Job *>(argument);
    try {
        job->work();
    } catch (...) { // whatever it is, the caller's thread gets it
        job->error = std::current_exception();
    }
    return nullptr;
}

struct Attributes {
    pthread_attr_t value;
    Attributes() { pthread_attr_init(&value); }
    ~Attributes() { pthread_attr_destroy(&value); }
    Attributes(const Attributes &) = delete;
    Attributes & operator=(const Attributes &) = delete;
};

} // namespace

void run_with_stack(size_t bytes, const std::function<void()> & work) {
    Attributes attributes;
    pthread_attr_setstacksize(&attributes.value, bytes);
    Job       job{work, nullptr};
    pthread_t thread;
    if (pthread_create(&thread, &attributes.value, run, &job) != 0) {
        throw Error(ErrorCode::load, "there is no room for a stack of " + std::to_string(bytes >> 20U) + " MiB");
    }
    pthread_join(thread, nullptr);
    if (job.error) {
        std::rethrow_exception(job.error);
    }
}

#endif

} // namespace pyollama
