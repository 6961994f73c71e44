// Saving and restoring what one sequence holds in the context's memory.

#include "engine.h"
#include "error.h"

#include "llama.h"

#include <cstring>
#include <future>
#include <utility>

namespace pyollama {

namespace {

// llama.cpp trusts the bytes it is given, so they are only handed on when this header says that the same engine set-up
// wrote them and nothing changed on the way.
struct StateHeader {
    char     magic[8] = {'P', 'Y', 'O', 'L', 'S', 'E', 'Q', '1'};
    uint64_t identity = 0; // of the model and its adapters
    uint64_t setup    = 0; // of the context
    uint64_t n_tokens = 0;
    uint64_t n_bytes  = 0; // of llama.cpp's own data
    uint64_t checksum = 0; // of all that follows the header
};

// FNV-1a over 8 bytes at a time: enough to notice damage, and cheap beside the copy itself.
uint64_t checksum(const char * data, size_t size) {
    uint64_t hash = 14695981039346656037ULL;
    size_t   i    = 0;
    for (; i + sizeof(uint64_t) <= size; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        std::memcpy(&word, data + i, sizeof(word));
        hash = (hash ^ word) * 1099511628211ULL;
        hash ^= hash >> 29;
    }
    for (; i < size; ++i) {
        hash = (hash ^ static_cast<unsigned char>(data[i])) * 1099511628211ULL;
    }
    return hash;
}

// Everything that decides what the numbers in the cells mean and how they lie. The number of sequences is in
// llama.cpp's own data too, and found wrong there only after the old cells were given up.
uint64_t setup_of(const ContextParams & params) {
    uint32_t base  = 0;
    uint32_t scale = 0;
    std::memcpy(&base, &params.rope_freq_base, sizeof(base));
    std::memcpy(&scale, &params.rope_freq_scale, sizeof(scale));
    const uint64_t parts[] = {static_cast<uint64_t>(params.type_k), static_cast<uint64_t>(params.type_v),
                              static_cast<uint64_t>(params.flash_attn + 1), params.n_seq_max, base, scale};
    return checksum(reinterpret_cast<const char *>(parts), sizeof(parts));
}

[[noreturn]] void refuse(const std::string & why) {
    throw Error(ErrorCode::state, "the saved state cannot be restored: " + why);
}

} // namespace

void Engine::run_on_engine(std::function<void()> task) {
    auto              done   = std::make_shared<std::promise<void>>();
    std::future<void> result = done->get_future();
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (closing_.load()) {
            throw Error(ErrorCode::closed, "the engine was closed");
        }
        tasks_.push_back([this, done, task = std::move(task)] {
            try {
                if (closing_.load()) {
                    throw Error(ErrorCode::closed, "the engine was closed");
                }
                task();
                done->set_value();
            } catch (...) { // whatever it is, the caller's thread gets it
                done->set_exception(std::current_exception());
            }
        });
        commands_ = true;
    }
    wake_.notify_one();
    result.get();
}

std::string Engine::save_state(std::vector<llama_token> tokens, uint64_t identity) {
    std::string out;
    run_on_engine([this, &tokens, &out, identity] {
        const Sequence * sequence = cache_.find(tokens);
        if (sequence == nullptr) {
            throw Error(ErrorCode::state, "no sequence holds a beginning of these tokens: there is nothing to save");
        }
        const size_t token_bytes = sequence->cells.size() * sizeof(llama_token);
        const size_t data_bytes  = llama_state_seq_get_size(context_.get(), sequence->id);

        StateHeader header;
        header.identity = identity;
        header.setup    = setup_of(params_);
        header.n_tokens = sequence->cells.size();
        header.n_bytes  = data_bytes;
        out.resize(sizeof(header) + token_bytes + data_bytes);
        char * body = out.data() + sizeof(header);
        std::memcpy(body, sequence->cells.data(), token_bytes);
        const size_t written = llama_state_seq_get_data(context_.get(), reinterpret_cast<uint8_t *>(body + token_bytes),
                                                        data_bytes, sequence->id);
        if (written != data_bytes) {
            throw Error(ErrorCode::state, "llama.cpp wrote " + std::to_string(written) + " of " +
                                              std::to_string(data_bytes) + " bytes of the sequence's state");
        }
        header.checksum = checksum(body, token_bytes + data_bytes);
        std::memcpy(out.data(), &header, sizeof(header));
    });
    return out;
}

uint64_t Engine::restore_state(std::string state, uint64_t identity) {
    StateHeader       header;
    const StateHeader expected;
    if (state.size() < sizeof(header)) {
        refuse("it has only " + std::to_string(state.size()) + " bytes");
    }
    std::memcpy(&header, state.data(), sizeof(header));
    const size_t body_size = state.size() - sizeof(header);
    if (std::memcmp(header.magic, expected.magic, sizeof(header.magic)) != 0) {
        refuse("these bytes are no saved state");
    }
    if (header.identity != identity || header.setup != setup_of(params_)) {
        refuse("it was saved by another model or with other settings of the cache");
    }
    if (header.n_tokens == 0 || header.n_tokens > params_.n_ctx_seq) {
        refuse("it holds " + std::to_string(header.n_tokens) + " tokens, a sequence has room for " +
               std::to_string(params_.n_ctx_seq));
    }
    const size_t token_bytes = static_cast<size_t>(header.n_tokens) * sizeof(llama_token);
    if (token_bytes > body_size || header.n_bytes != body_size - token_bytes ||
        header.checksum != checksum(state.data() + sizeof(header), body_size)) {
        refuse("it is damaged");
    }
    std::vector<llama_token> tokens(static_cast<size_t>(header.n_tokens));
    std::memcpy(tokens.data(), state.data() + sizeof(header), token_bytes);

    run_on_engine([this, &state, &tokens, token_bytes] {
        Sequence * sequence = cache_.least_valuable();
        if (sequence == nullptr) {
            throw Error(ErrorCode::state, "all sequences are busy: restore the state when a request has ended");
        }
        cache_.forget(*sequence);
        const size_t offset = sizeof(StateHeader) + token_bytes;
        const size_t read   = llama_state_seq_set_data(
            context_.get(), reinterpret_cast<const uint8_t *>(state.data() + offset), state.size() - offset, sequence->id);
        if (read == 0) {
            cache_.forget(*sequence);
            refuse("llama.cpp did not accept it");
        }
        cache_.adopt(*sequence, tokens);
    });
    return header.n_tokens;
}

} // namespace pyollama
