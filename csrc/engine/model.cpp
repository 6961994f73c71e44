#include "model.h"

#include "deep_stack.h"
#include "error.h"
#include "log.h"

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>

namespace pyollama {

namespace {

std::atomic<int64_t> live_count{0};

constexpr size_t text_for_usual_stack = 1000;
constexpr size_t least_stack          = size_t{8} << 20U;
constexpr size_t stack_per_byte       = 1024;
constexpr size_t most_stack           = size_t{2} << 30U;

struct Progress {
    ProgressCallback callback;
    void *           user_data;
    bool             cancelled = false;
};

bool on_progress(float value, void * user_data) {
    auto * progress = static_cast<Progress *>(user_data);
    if (progress->callback != nullptr && !progress->callback(value, progress->user_data)) {
        progress->cancelled = true;
        return false;
    }
    return true;
}

llama_load_mode load_mode(const ModelParams & params) {
    if (params.use_mlock) {
        return params.use_mmap == 0 ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_MMAP_MLOCK;
    }
    if (params.use_mmap < 0) {
        return LLAMA_LOAD_MODE_AUTO;
    }
    return params.use_mmap != 0 ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
}

std::vector<llama_model_kv_override> native_overrides(const ModelParams & params) {
    std::vector<llama_model_kv_override> list;
    for (const auto & [key, value] : params.overrides) {
        llama_model_kv_override item = {};
        if (key.size() >= sizeof(item.key)) {
            throw Error(ErrorCode::invalid_argument, "the metadata key " + key + " is too long to be overridden");
        }
        std::memcpy(item.key, key.c_str(), key.size() + 1);
        item.tag     = LLAMA_KV_OVERRIDE_TYPE_INT;
        item.val_i64 = value;
        list.push_back(item);
    }
    list.push_back({}); // an empty key ends the list
    return list;
}

std::string reason(const LogCapture & log) {
    const std::string summary = log.summary();
    return summary.empty() ? std::string("llama.cpp gave no reason") : summary;
}

} // namespace

int64_t live_models() noexcept {
    return live_count.load();
}

std::shared_ptr<Model> Model::load(const ModelParams & params, ProgressCallback callback, void * user_data) {
    Progress   progress{callback, user_data};
    LogCapture log;

    llama_model_params native          = llama_model_default_params();
    native.n_gpu_layers                = params.n_gpu_layers;
    native.load_mode                   = load_mode(params);
    native.vocab_only                  = params.vocab_only;
    native.check_tensors               = params.check_tensors;
    native.progress_callback           = on_progress;
    native.progress_callback_user_data = &progress;
    if (params.main_gpu >= 0) {
        native.main_gpu   = params.main_gpu;
        native.split_mode = LLAMA_SPLIT_MODE_NONE;
    }

    const std::vector<llama_model_kv_override> overrides = native_overrides(params);
    native.kv_overrides                                  = overrides.data();

    // make_shared cannot reach the private constructor
    std::shared_ptr<Model> model(new Model());
    live_count.fetch_add(1);
    model->model_.reset(llama_model_load_from_file(params.path.c_str(), native));
    if (!model->model_) {
        if (progress.cancelled) {
            throw Error(ErrorCode::cancelled, "loading " + params.path + " was cancelled");
        }
        throw Error(ErrorCode::load, "could not load " + params.path + ": " + reason(log));
    }
    model->vocab_      = llama_model_get_vocab(model->model_.get());
    model->vocab_only_ = params.vocab_only;
    // What the vocabulary puts before a text it must take away again; there is no getter.
    const std::vector<llama_token> first = model->tokenize("a", false, false);
    model->space_prefix_ = !first.empty() && model->piece(first[0], false).substr(0, 1) == " ";

    for (const AdapterSpec & spec : params.adapters) {
        llama_adapter_lora * adapter = llama_adapter_lora_init(model->get(), spec.path.c_str());
        if (adapter == nullptr) {
            throw Error(ErrorCode::load, "could not load the adapter " + spec.path + ": " + reason(log));
        }
        model->adapters_.push_back(adapter);
        model->adapter_scales_.push_back(spec.scale);
    }
    return model;
}

Model::~Model() {
    live_count.fetch_sub(1);
}

std::vector<llama_token> Model::tokenize(const std::string & text, bool add_special, bool parse_special) const {
    if (text.size() > static_cast<size_t>(INT32_MAX)) {
        throw Error(ErrorCode::invalid_argument, "a text of " + std::to_string(text.size()) +
                                                     " bytes cannot be tokenized: the limit is 2 GiB");
    }
    std::vector<llama_token> tokens(text.size() / 2 + 16);
    const auto               fill = [&] {
        return llama_tokenize(vocab_, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                              static_cast<int32_t>(tokens.size()), add_special, parse_special);
    };
    const auto work = [&] {
        int32_t n = fill();
        if (n == INT32_MIN) {
            throw Error(ErrorCode::invalid_argument, "the text gives more tokens than fit 32 bits");
        }
        if (n < 0) {
            tokens.resize(static_cast<size_t>(-n));
            n = fill();
        }
        tokens.resize(static_cast<size_t>(std::max(n, 0)));
    };
    // Some vocabularies split text by regular expressions that libstdc++ matches with a call for each character of a
    // run: 30,000 dashes would overflow a usual stack.
    if (text.size() < text_for_usual_stack) {
        work();
    } else {
        run_with_stack(std::min(least_stack + text.size() * stack_per_byte, most_stack), work);
    }
    return tokens;
}

std::string Model::detokenize(const std::vector<llama_token> & tokens, bool remove_special,
                              bool unparse_special) const {
    for (const llama_token token : tokens) {
        if (!is_valid(token)) {
            throw Error(ErrorCode::invalid_argument, "token " + std::to_string(token) + " is not in the vocabulary: ids go from 0 to " +
                                                         std::to_string(n_vocab() - 1));
        }
    }
    // Not llama_detokenize: for some vocabularies it removes spaces before punctuation, which were in the text.
    const bool has_bos = remove_special && llama_vocab_get_add_bos(vocab_) && !tokens.empty() &&
                         tokens.front() == llama_vocab_bos(vocab_);
    const bool has_eos = remove_special && llama_vocab_get_add_eos(vocab_) && tokens.size() > (has_bos ? 1U : 0U) &&
                         tokens.back() == llama_vocab_eos(vocab_);
    std::string text;
    for (size_t i = has_bos ? 1 : 0; i < tokens.size() - (has_eos ? 1 : 0); ++i) {
        text += piece(tokens[i], unparse_special);
    }
    if (space_prefix_ && !text.empty() && text[0] == ' ') {
        text.erase(0, 1);
    }
    return text;
}

std::string Model::piece(llama_token token, bool special) const {
    char    small[128];
    int32_t n = llama_token_to_piece(vocab_, token, small, sizeof(small), 0, special);
    if (n >= 0) {
        return std::string(small, static_cast<size_t>(n));
    }
    std::string text(static_cast<size_t>(-n), '\0');
    n = llama_token_to_piece(vocab_, token, text.data(), static_cast<int32_t>(text.size()), 0, special);
    text.resize(static_cast<size_t>(std::max(n, 0)));
    return text;
}

std::vector<std::pair<std::string, std::string>> Model::metadata() const {
    std::vector<std::pair<std::string, std::string>> items;
    const int32_t                                    count = llama_model_meta_count(get());
    for (int32_t i = 0; i < count; ++i) {
        const auto read = [this, i](auto function) {
            const int32_t size = function(get(), i, nullptr, 0);
            std::string   text(static_cast<size_t>(std::max(size, 0)) + 1, '\0');
            function(get(), i, text.data(), text.size());
            text.pop_back();
            return text;
        };
        items.emplace_back(read(llama_model_meta_key_by_index), read(llama_model_meta_val_str_by_index));
    }
    return items;
}

std::string Model::description() const {
    char text[256] = {};
    llama_model_desc(get(), text, sizeof(text));
    return text;
}

std::string Model::chat_template(const std::string & name) const {
    const char * source = llama_model_chat_template(get(), name.empty() ? nullptr : name.c_str());
    return source == nullptr ? std::string() : std::string(source);
}

} // namespace pyollama
