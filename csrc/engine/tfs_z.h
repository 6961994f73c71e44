#pragma once

#include "llama.h"

#include <cstddef>

namespace pyollama {

// Tail-free sampling, https://www.trentonbricken.com/Tail-Free-Sampling/, as llama.cpp had it until late 2024.
// z: 1 is off, smaller cuts more. The result goes into a sampler chain, which frees it.
llama_sampler * sampler_init_tfs_z(float z, size_t min_keep);

} // namespace pyollama
