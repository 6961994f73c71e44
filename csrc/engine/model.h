#pragma once

#include "export.h"

#include "llama.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pyollama {

// Returns false to give the load up. progress: 0 to 1.
using ProgressCallback = bool (*)(float progress, void * user_data);

struct AdapterSpec {
    std::string path;
    float       scale = 1.0f;
};

struct ModelParams {
    std::string              path;
    std::vector<AdapterSpec> adapters;

    std::vector<std::pair<std::string, int64_t>> overrides; // metadata that replaces or completes the file's

    int32_t                  n_gpu_layers  = -1; // -1: all that fit, by llama.cpp's own choice
    int32_t                  main_gpu      = -1; // -1: split over all GPUs; else the whole model on this one
    int32_t                  use_mmap      = -1; // -1: llama.cpp chooses
    bool                     use_mlock     = false;
    bool                     vocab_only    = false;
    bool                     check_tensors = false;
};

// A loaded model: weights, vocabulary, adapters. Immutable after load, so any thread may use it; contexts hold a
// shared_ptr to it. Created whole or not at all.
class PYOLLAMA_API Model {
  public:
    // Throws Error(load) with llama.cpp's own words, Error(cancelled) when progress returned false.
    static std::shared_ptr<Model> load(const ModelParams & params, ProgressCallback progress, void * user_data);

    ~Model();
    Model(const Model &) = delete;
    Model & operator=(const Model &) = delete;

    llama_model *       get() const noexcept { return model_.get(); }
    const llama_vocab * vocab() const noexcept { return vocab_; }
    bool                vocab_only() const noexcept { return vocab_only_; }

    const std::vector<llama_adapter_lora *> & adapters() const noexcept { return adapters_; }
    const std::vector<float> &                adapter_scales() const noexcept { return adapter_scales_; }

    // text: UTF-8, at most 2 GiB. add_special: BOS and EOS as the model wants them. parse_special: control tokens
    // written in the text become their ids; with false they are ordinary text.
    std::vector<llama_token> tokenize(const std::string & text, bool add_special, bool parse_special) const;

    // The bytes of the tokens, joined; a space that the vocabulary puts before every text is taken away. Throws
    // Error(invalid_argument) for an id outside. remove_special: without the BOS and EOS that tokenize adds.
    std::string detokenize(const std::vector<llama_token> & tokens, bool remove_special, bool unparse_special) const;

    // The bytes of one token; control tokens are empty unless special.
    std::string piece(llama_token token, bool special) const;

    int32_t n_vocab() const noexcept { return llama_vocab_n_tokens(vocab_); }
    bool    is_valid(llama_token token) const noexcept { return token >= 0 && token < n_vocab(); }

    std::vector<std::pair<std::string, std::string>> metadata() const;
    std::string                                      description() const;
    std::string                                      chat_template(const std::string & name) const;

  private:
    Model() = default;

    struct Deleter {
        void operator()(llama_model * model) const noexcept { llama_model_free(model); }
    };

    std::unique_ptr<llama_model, Deleter> model_;
    const llama_vocab *                   vocab_ = nullptr;
    std::vector<llama_adapter_lora *>     adapters_; // freed with the model
    std::vector<float>                    adapter_scales_;
    bool                                  vocab_only_   = false;
    bool                                  space_prefix_ = false;
};

// Live handles, for tests that nothing leaks.
PYOLLAMA_API int64_t live_models() noexcept;

} // namespace pyollama
