#include "logits.h"

#include <algorithm>
#include <cmath>
#include <limits>

// The hot passes are compiled for wider vectors too and chosen at load time; sanitizers start too late for ifuncs.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PYOLLAMA_WIDE __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define PYOLLAMA_WIDE
#endif

namespace pyollama {

namespace {

constexpr size_t block_size = 64;
constexpr float  lowest     = -std::numeric_limits<float>::infinity();

// One pass without branches: the maximum of every block. A comparison with NaN is false, so NaN never wins.
PYOLLAMA_WIDE void block_maxima(const float * logits, size_t n, float * maxima) {
    const size_t n_full = n / block_size;
    for (size_t b = 0; b < n_full; ++b) {
        const float * block = logits + b * block_size;
        float         lanes[16];
        for (size_t j = 0; j < 16; ++j) {
            lanes[j] = lowest;
        }
        for (size_t i = 0; i < block_size; i += 16) {
            for (size_t j = 0; j < 16; ++j) {
                lanes[j] = block[i + j] > lanes[j] ? block[i + j] : lanes[j];
            }
        }
        float best = lowest;
        for (size_t j = 0; j < 16; ++j) {
            best = lanes[j] > best ? lanes[j] : best;
        }
        maxima[b] = best;
    }
    if (n_full * block_size < n) {
        float best = lowest;
        for (size_t i = n_full * block_size; i < n; ++i) {
            best = logits[i] > best ? logits[i] : best;
        }
        maxima[n_full] = best;
    }
}

// Sixteen running sums in float over blocks, folded into double: the error stays near 1e-7 relative.
PYOLLAMA_WIDE double sum_exp(const float * logits, size_t n, float maximum) {
    double total = 0.0;
    size_t i     = 0;
    for (; i + 1024 <= n; i += 1024) {
        float lanes[16] = {};
        for (size_t k = 0; k < 1024; k += 16) {
            for (size_t j = 0; j < 16; ++j) {
                lanes[j] += std::exp(logits[i + k + j] - maximum);
            }
        }
        for (size_t j = 0; j < 16; ++j) {
            total += static_cast<double>(lanes[j]);
        }
    }
    for (; i < n; ++i) {
        total += static_cast<double>(std::exp(logits[i] - maximum));
    }
    return total;
}

std::vector<float> & scratch(size_t size) {
    thread_local std::vector<float> maxima;
    maxima.resize(size);
    return maxima;
}

bool better(const llama_token_data & a, const llama_token_data & b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

} // namespace

llama_token logits_argmax(const float * logits, size_t n) {
    std::vector<float> & maxima = scratch((n + block_size - 1) / block_size);
    block_maxima(logits, n, maxima.data());
    const auto best = std::max_element(maxima.begin(), maxima.end());
    if (best == maxima.end() || !(*best > lowest)) {
        return -1;
    }
    const size_t start = static_cast<size_t>(best - maxima.begin()) * block_size;
    const float  value = *best;
    for (size_t i = start; i < n; ++i) {
        if (logits[i] == value) {
            return static_cast<llama_token>(i);
        }
    }
    return -1;
}

void logits_top_k(const float * logits, size_t n, size_t k, std::vector<llama_token_data> & out) {
    out.clear();
    if (n == 0 || k == 0) {
        return;
    }
    std::vector<float> & maxima = scratch((n + block_size - 1) / block_size);
    block_maxima(logits, n, maxima.data());

    // At least k logits are not below the k-th best block maximum: nothing below it can be among the k best.
    float threshold = lowest;
    if (k < maxima.size()) {
        thread_local std::vector<float> order;
        order.assign(maxima.begin(), maxima.end());
        const auto kth = order.begin() + static_cast<std::ptrdiff_t>(k - 1);
        std::nth_element(order.begin(), kth, order.end(), [](float a, float b) { return a > b; });
        threshold = *kth;
    }
    for (size_t b = 0; b < maxima.size(); ++b) {
        if (!(maxima[b] >= threshold) || !(maxima[b] > lowest)) {
            continue;
        }
        const size_t end = std::min(n, (b + 1) * block_size);
        for (size_t i = b * block_size; i < end; ++i) {
            if (logits[i] >= threshold && logits[i] > lowest) {
                out.push_back({static_cast<llama_token>(i), logits[i], 0.0f});
            }
        }
    }
    if (k < out.size()) {
        std::partial_sort(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(k), out.end(), better);
        out.resize(k);
    } else {
        std::sort(out.begin(), out.end(), better);
    }
}

double logits_logsumexp(const float * logits, size_t n) {
    std::vector<float> & maxima = scratch((n + block_size - 1) / block_size);
    block_maxima(logits, n, maxima.data());
    const auto best = std::max_element(maxima.begin(), maxima.end());
    if (best == maxima.end() || !(*best > lowest)) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    return static_cast<double>(*best) + std::log(sum_exp(logits, n, *best));
}

} // namespace pyollama
