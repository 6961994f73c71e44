#pragma once

#include <cstdint>

#if defined(_WIN32)
#    include <process.h>
#else
#    include <unistd.h>
#endif

namespace pyollama {

// The process id, also while the interpreter shuts down and the os module is gone.
inline int64_t process_id() noexcept {
#if defined(_WIN32)
    return _getpid();
#else
    return getpid();
#endif
}

} // namespace pyollama
