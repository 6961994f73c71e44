#include "sampler.h"

#include "error.h"
#include "logits.h"
#include "tfs_z.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pyollama {

namespace {

constexpr int32_t mirostat_m = 100; // tokens in the estimate of s_hat, the paper's value

constexpr float never             = -std::numeric_limits<float>::infinity();
constexpr float smallest_exponent = -87.0f; // exp() of less is 0 or loses digits in float

float best_logit(const llama_token_data_array & list) {
    float best = never;
    for (size_t i = 0; i < list.size; ++i) {
        best = std::max(best, list.data[i].logit);
    }
    return best;
}

// Takes the candidates out whose logit is below, or NaN; the order of the others stays.
void drop_below(llama_token_data_array & list, float least) {
    const auto low = [least](const llama_token_data & candidate) { return !(candidate.logit >= least); };
    list.size      = static_cast<size_t>(std::remove_if(list.data, list.data + list.size, low) - list.data);
}

llama_token newline_token(const Model & model) {
    const llama_token token = llama_vocab_nl(model.vocab());
    if (token != LLAMA_TOKEN_NULL) {
        return token;
    }
    const std::vector<llama_token> tokens = model.tokenize("\n", false, false);
    return tokens.size() == 1 ? tokens[0] : LLAMA_TOKEN_NULL;
}

bool is_active(SamplerType type, const SamplingParams & params) {
    switch (type) {
        case SamplerType::penalties:
            return params.repeat_last_n != 0 && (params.repeat_penalty != 1.0f || params.frequency_penalty != 0.0f ||
                                                 params.presence_penalty != 0.0f);
        case SamplerType::dry:
            return params.dry_multiplier != 0.0f && params.dry_base >= 1.0f && params.dry_penalty_last_n != 0;
        case SamplerType::top_n_sigma: return params.top_n_sigma > 0.0f;
        case SamplerType::top_k:       return params.top_k > 0;
        case SamplerType::tfs_z:       return params.tfs_z < 1.0f;
        case SamplerType::typical_p:   return params.typical_p < 1.0f;
        case SamplerType::top_p:       return params.top_p < 1.0f;
        case SamplerType::min_p:       return params.min_p > 0.0f;
        case SamplerType::xtc:         return params.xtc_probability > 0.0f && params.xtc_threshold <= 0.5f;
        case SamplerType::temperature: return params.temperature != 1.0f || params.dynatemp_range > 0.0f;
    }
    return false;
}

} // namespace

Sampler::Sampler(std::shared_ptr<const Model> model, const SamplingParams & params)
    : model_(std::move(model)), params_(params), n_vocab_(static_cast<size_t>(model_->n_vocab())),
      penalties_(params, newline_token(*model_)) {
    if (!params_.grammar.empty()) {
        grammar_ = std::make_unique<Grammar>(model_, params_.grammar);
    }

    for (const auto & [token, bias] : params_.logit_bias) {
        check(token);
        bias_.emplace_back(token, bias);
    }
    int32_t             n_suppress = 0;
    const llama_token * suppress   = llama_vocab_get_suppress_tokens(model_->vocab(), &n_suppress);
    for (int32_t i = 0; i < n_suppress; ++i) {
        bias_.emplace_back(suppress[i], never);
    }
    if (params_.ignore_eos) {
        for (llama_token token = 0; token < model_->n_vocab(); ++token) {
            if (llama_vocab_is_eog(model_->vocab(), token)) {
                bias_.emplace_back(token, never);
            }
        }
    }

    // With mirostat the truncating samplers make no sense, but penalties do: so it was in 2024, so it is here.
    std::vector<SamplerType> order;
    for (const SamplerType type : params_.samplers) {
        const bool keeps = params_.mirostat == 0 || type == SamplerType::penalties || type == SamplerType::dry;
        // a temperature of 0 is no link of the chain: it means the best of what the chain leaves
        const bool link = type != SamplerType::temperature || !greedy();
        if (keeps && link && is_active(type, params_)) {
            order.push_back(type);
        }
    }
    if (!order.empty() && order[0] == SamplerType::penalties) {
        penalties_on_row_ = true;
        order.erase(order.begin());
    }
    if (greedy()) {
        // The best logit after whatever changes logits; what only cuts the tail after that cannot change it.
        const auto changes = [](SamplerType type) { return type == SamplerType::penalties || type == SamplerType::dry; };
        order.erase(std::find_if(order.rbegin(), order.rend(), changes).base(), order.end());
    }
    top_k_on_row_ = params_.mirostat == 0 && !order.empty() && order[0] == SamplerType::top_k;
    for (const SamplerType type : order) {
        add_link(type);
    }
    if (greedy()) {
        return;
    }
    if (params_.mirostat == 0) {
        pick_.reset(llama_sampler_init_dist(params_.seed));
        return;
    }
    links_.push_back({SamplerType::temperature, Handle(llama_sampler_init_temp(params_.temperature))});
    pick_.reset(params_.mirostat == 1 ? llama_sampler_init_mirostat(model_->n_vocab(), params_.seed, params_.mirostat_tau,
                                                                    params_.mirostat_eta, mirostat_m)
                                      : llama_sampler_init_mirostat_v2(params_.seed, params_.mirostat_tau,
                                                                       params_.mirostat_eta));
}

void Sampler::add_link(SamplerType type) {
    const SamplingParams & p        = params_;
    const auto             min_keep = static_cast<size_t>(std::max(p.min_keep, 0));
    llama_sampler *        link     = nullptr;
    switch (type) {
        case SamplerType::penalties: link = sampler_init_penalties(&penalties_); break;
        case SamplerType::dry: {
            std::vector<const char *> breakers;
            for (const std::string & text : p.dry_sequence_breakers) {
                breakers.push_back(text.c_str());
            }
            link = llama_sampler_init_dry(model_->vocab(), p.dry_multiplier, p.dry_base, p.dry_allowed_length,
                                          p.dry_penalty_last_n, breakers.data(), breakers.size());
            break;
        }
        case SamplerType::top_n_sigma: link = llama_sampler_init_top_n_sigma(p.top_n_sigma); break;
        case SamplerType::top_k:       link = llama_sampler_init_top_k(p.top_k); break;
        case SamplerType::tfs_z:       link = sampler_init_tfs_z(p.tfs_z, min_keep); break;
        case SamplerType::typical_p:   link = llama_sampler_init_typical(p.typical_p, min_keep); break;
        case SamplerType::top_p:       link = llama_sampler_init_top_p(p.top_p, min_keep); break;
        case SamplerType::min_p:       link = llama_sampler_init_min_p(p.min_p, min_keep); break;
        case SamplerType::xtc:
            link = llama_sampler_init_xtc(p.xtc_probability, p.xtc_threshold, min_keep, p.seed);
            break;
        case SamplerType::temperature:
            link = llama_sampler_init_temp_ext(p.temperature, p.dynatemp_range, p.dynatemp_exponent);
            break;
    }
    links_.push_back({type, Handle(link)});
}

void Sampler::check(llama_token token) const {
    if (!model_->is_valid(token)) {
        throw Error(ErrorCode::invalid_argument, "token " + std::to_string(token) + " is not in the vocabulary: ids go from 0 to " +
                                                     std::to_string(model_->n_vocab() - 1));
    }
}

void Sampler::accept_prompt(const std::vector<llama_token> & prompt) {
    std::for_each(prompt.begin(), prompt.end(), [this](llama_token token) { check(token); });
    for (const llama_token token : prompt) {
        penalties_.accept(token);
    }
    for (const Link & link : links_) {
        for (const llama_token token : prompt) {
            llama_sampler_accept(link.sampler.get(), token);
        }
    }
}

void Sampler::accept(llama_token token) {
    check(token);
    penalties_.accept(token);
    for (const Link & link : links_) {
        llama_sampler_accept(link.sampler.get(), token);
    }
    if (pick_) {
        llama_sampler_accept(pick_.get(), token);
    }
    if (grammar_) {
        grammar_->accept(token);
    }
}

// The row as the samplers shall see it, for as long as this lives.
class Sampler::EditedRow {
  public:
    EditedRow(Sampler & sampler, float * logits) : undo_(sampler.undo_), logits_(logits) {
        undo_.clear();
        for (const auto & [token, bias] : sampler.bias_) {
            undo_.emplace_back(token, logits[token]);
            logits[token] += bias;
        }
        if (sampler.penalties_on_row_) {
            sampler.penalties_.apply(logits, undo_);
        }
    }
    ~EditedRow() {
        for (auto edit = undo_.rbegin(); edit != undo_.rend(); ++edit) {
            logits_[edit->first] = edit->second;
        }
    }
    EditedRow(const EditedRow &) = delete;
    EditedRow & operator=(const EditedRow &) = delete;

  private:
    std::vector<std::pair<llama_token, float>> & undo_;
    float *                                      logits_;
};

void Sampler::fill_best(const float * logits) {
    logits_top_k(logits, n_vocab_, static_cast<size_t>(params_.top_k), candidates_);
    candidates_sorted_ = true;
}

void Sampler::fill_all(const float * logits) {
    candidates_.clear();
    candidates_.reserve(n_vocab_);
    candidates_sorted_ = false;
    for (size_t i = 0; i < n_vocab_; ++i) {
        if (logits[i] > never) { // not NaN either, which would spoil every sum
            candidates_.push_back({static_cast<llama_token>(i), logits[i], 0.0f});
        }
    }
}

llama_token_data_array Sampler::apply_links() {
    if (candidates_.empty()) {
        throw Error(ErrorCode::decode, "the model produced no usable logits (all are NaN or -inf)");
    }
    llama_token_data_array list = {candidates_.data(), candidates_.size(), -1, candidates_sorted_};
    for (const Link & link : links_) {
        if (link.type == SamplerType::typical_p) {
            drop_below(list, best_logit(list) + smallest_exponent); // log(0) would make the entropy NaN
        }
        llama_sampler_apply(link.sampler.get(), &list);
        if (link.type == SamplerType::top_n_sigma) {
            drop_below(list, std::numeric_limits<float>::lowest()); // it only marks what it cuts, with -inf
        }
    }
    if (list.size == 0) {
        throw Error(ErrorCode::decode, "the samplers left no token to choose from");
    }
    return list;
}

llama_token Sampler::choose(const float * logits) {
    if (greedy() && links_.empty()) {
        const llama_token best = logits_argmax(logits, n_vocab_);
        if (best < 0) {
            throw Error(ErrorCode::decode, "the model produced no usable logits (all are NaN or -inf)");
        }
        return best;
    }
    if (top_k_on_row_ && !greedy()) {
        fill_best(logits);
    } else {
        fill_all(logits);
    }
    return choose_among_candidates();
}

llama_token Sampler::choose_among_candidates() {
    llama_token_data_array list = apply_links();
    if (!pick_) {
        return std::min_element(list.data, list.data + list.size,
                                [](const llama_token_data & a, const llama_token_data & b) {
                                    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
                                })
            ->id;
    }
    llama_sampler_apply(pick_.get(), &list);
    if (list.selected < 0 || static_cast<size_t>(list.selected) >= list.size) {
        throw Error(ErrorCode::decode, "the samplers chose no token");
    }
    return list.data[list.selected].id;
}

llama_token Sampler::choose_constrained(const float * logits) {
    fill_all(logits);
    llama_token_data_array all = {candidates_.data(), candidates_.size(), -1, false};
    grammar_->apply(&all);
    drop_below(all, std::numeric_limits<float>::lowest());
    candidates_.resize(all.size);
    if (candidates_.empty()) {
        // The grammar is complete: then the text ends, whatever ignore_eos and biases say.
        for (llama_token token = 0; token < model_->n_vocab(); ++token) {
            if (llama_vocab_is_eog(model_->vocab(), token) && grammar_->allows(token)) {
                return token;
            }
        }
        throw Error(ErrorCode::grammar, "no token of this model can continue the grammar here");
    }
    return choose_among_candidates();
}

llama_token Sampler::sample(float * logits) {
    const EditedRow row(*this, logits);
    if (!grammar_) {
        return choose(logits);
    }
    // Checking one token against the grammar costs little, checking the vocabulary costs much, and a model that is
    // asked for JSON mostly writes JSON: so look at the free choice first.
    const llama_token free_choice = choose(logits);
    return grammar_->allows(free_choice) ? free_choice : choose_constrained(logits);
}

std::vector<llama_token_data> Sampler::distribution(float * logits) {
    const EditedRow row(*this, logits);
    if (top_k_on_row_ && !greedy()) {
        fill_best(logits);
    } else {
        fill_all(logits);
    }
    const llama_token_data_array list = apply_links();

    std::vector<llama_token_data> result(list.data, list.data + list.size);
    std::sort(result.begin(), result.end(), [](const llama_token_data & a, const llama_token_data & b) {
        return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
    });
    double total = 0.0;
    for (llama_token_data & candidate : result) {
        candidate.p = std::exp(candidate.logit - result[0].logit);
        total += static_cast<double>(candidate.p);
    }
    for (llama_token_data & candidate : result) {
        candidate.p = static_cast<float>(static_cast<double>(candidate.p) / total);
    }
    return result;
}

TokenLogprob token_logprob(const Model & model, const float * logits, llama_token chosen, size_t n_top) {
    const auto   n_vocab = static_cast<size_t>(model.n_vocab());
    const double total   = logits_logsumexp(logits, n_vocab);
    const auto   entry   = [&](llama_token token) {
        return Logprob{token, static_cast<float>(static_cast<double>(logits[token]) - total), model.piece(token, true)};
    };
    TokenLogprob result;
    result.chosen = entry(chosen);
    std::vector<llama_token_data> best;
    logits_top_k(logits, n_vocab, n_top, best);
    for (const llama_token_data & candidate : best) {
        result.top.push_back(entry(candidate.id));
    }
    return result;
}

} // namespace pyollama
