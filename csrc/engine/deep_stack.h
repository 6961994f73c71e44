#pragma once

#include <cstddef>
#include <functional>

namespace pyollama {

// Runs work on a thread of its own with a stack of this many bytes, and waits for it. What it throws is thrown here.
// The bytes are address space: only what is used becomes memory. Throws Error(load) where there is not enough.
void run_with_stack(size_t bytes, const std::function<void()> & work);

} // namespace pyollama
