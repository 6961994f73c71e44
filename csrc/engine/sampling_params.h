#pragma once

#include "llama.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pyollama {

// Names as in the API's options. The order of `samplers` is the order in which they are applied.
enum class SamplerType : int {
    penalties   = 0,
    dry         = 1,
    top_n_sigma = 2,
    top_k       = 3,
    tfs_z       = 4,
    typical_p   = 5,
    top_p       = 6,
    min_p       = 7,
    xtc         = 8,
    temperature = 9,
};

// The caller has checked every range: see pyollama/engine/options.py.
struct SamplingParams {
    uint32_t seed               = 0;
    float    temperature        = 0.8f; // 0: greedy
    float    dynatemp_range     = 0.0f;
    float    dynatemp_exponent  = 1.0f;
    int32_t  top_k              = 40;   // <= 0: off
    float    top_p              = 0.9f;
    float    min_p              = 0.0f;
    float    tfs_z              = 1.0f;
    float    typical_p          = 1.0f;
    float    top_n_sigma        = -1.0f;
    float    xtc_probability    = 0.0f;
    float    xtc_threshold      = 0.1f;
    int32_t  min_keep           = 0;
    int32_t  repeat_last_n      = 64;   // 0: off
    float    repeat_penalty     = 1.0f;
    float    frequency_penalty  = 0.0f;
    float    presence_penalty   = 0.0f;
    bool     penalize_newline   = true;
    float    dry_multiplier     = 0.0f;
    float    dry_base           = 1.75f;
    int32_t  dry_allowed_length = 2;
    int32_t  dry_penalty_last_n = 0;
    int32_t  mirostat           = 0;    // 0: off, 1 and 2: the versions of the paper, arXiv:2007.14966
    float    mirostat_tau       = 5.0f;
    float    mirostat_eta       = 0.1f;
    bool     ignore_eos         = false;

    std::vector<std::string>                   dry_sequence_breakers = {"\n", ":", "\"", "*"};
    std::vector<std::pair<llama_token, float>> logit_bias;
    std::vector<SamplerType>                   samplers = {
        SamplerType::penalties, SamplerType::dry,   SamplerType::top_n_sigma, SamplerType::top_k, SamplerType::tfs_z,
        SamplerType::typical_p, SamplerType::top_p, SamplerType::min_p,       SamplerType::xtc,   SamplerType::temperature};

    std::string grammar; // GBNF text with a rule "root"; empty: unconstrained
};

} // namespace pyollama
