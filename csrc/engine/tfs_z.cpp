#include "tfs_z.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

namespace pyollama {

namespace {

struct TfsZ {
    float              z;
    size_t             min_keep;
    std::vector<float> derivatives;
};

const char * tfs_z_name(const llama_sampler * /*sampler*/) {
    return "tfs_z";
}

void sort_and_softmax(llama_token_data_array * candidates) {
    if (!candidates->sorted) {
        std::sort(candidates->data, candidates->data + candidates->size,
                  [](const llama_token_data & a, const llama_token_data & b) { return a.logit > b.logit; });
        candidates->sorted = true;
    }
    const float maximum = candidates->data[0].logit;
    float       total   = 0.0f;
    for (size_t i = 0; i < candidates->size; ++i) {
        candidates->data[i].p = std::exp(candidates->data[i].logit - maximum);
        total += candidates->data[i].p;
    }
    for (size_t i = 0; i < candidates->size; ++i) {
        candidates->data[i].p /= total;
    }
}

void tfs_z_apply(llama_sampler * sampler, llama_token_data_array * candidates) {
    auto & self = *static_cast<TfsZ *>(sampler->ctx);
    if (self.z >= 1.0f || candidates->size <= 2) {
        return;
    }
    sort_and_softmax(candidates);

    // absolute second differences of the sorted probabilities, normalized to sum 1
    const size_t         n           = candidates->size - 2;
    const auto           probability = [candidates](size_t i) { return candidates->data[i].p; };
    std::vector<float> & curvature   = self.derivatives;
    curvature.resize(n);
    float total = 0.0f;
    for (size_t i = 0; i < n; ++i) {
        const float first  = probability(i) - probability(i + 1);
        const float second = probability(i + 1) - probability(i + 2);
        curvature[i]       = std::abs(first - second);
        total += curvature[i];
    }
    float  cumulative = 0.0f;
    size_t keep       = candidates->size;
    for (size_t i = 0; i < n; ++i) {
        cumulative += total > 1e-6f ? curvature[i] / total : 1.0f / static_cast<float>(n);
        if (cumulative > self.z && i >= self.min_keep) {
            keep = i;
            break;
        }
    }
    candidates->size = std::max<size_t>(keep, 1);
}

void tfs_z_free(llama_sampler * sampler) {
    delete static_cast<TfsZ *>(sampler->ctx);
}

llama_sampler_i tfs_z_interface() {
    llama_sampler_i iface = {};
    iface.name            = tfs_z_name;
    iface.apply           = tfs_z_apply;
    iface.free            = tfs_z_free;
    return iface;
}

} // namespace

llama_sampler * sampler_init_tfs_z(float z, size_t min_keep) {
    static llama_sampler_i iface = tfs_z_interface();
    return llama_sampler_init(&iface, std::make_unique<TfsZ>(TfsZ{z, min_keep, {}}).release());
}

} // namespace pyollama
