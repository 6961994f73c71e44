#pragma once

#include "export.h"

#include "llama.h"

#include <cstddef>
#include <vector>

namespace pyollama {

// Passes over one row of logits (float32, n_vocab long) that never build the candidate array of the whole
// vocabulary. NaN never wins. Ties go to the lower token id, so that a result does not depend on the method.

// The id of the largest logit, -1 if there is none above -inf.
PYOLLAMA_API llama_token logits_argmax(const float * logits, size_t n);

// The k best as candidates (id, logit, p = 0), sorted from best to worst; fewer if fewer are above -inf.
PYOLLAMA_API void logits_top_k(const float * logits, size_t n, size_t k, std::vector<llama_token_data> & out);

// log(sum(exp(x))), accumulated in double.
PYOLLAMA_API double logits_logsumexp(const float * logits, size_t n);

} // namespace pyollama
