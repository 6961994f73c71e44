#pragma once

#include "channel.h"
#include "choice.h"
#include "context.h"
#include "export.h"
#include "model.h"
#include "prefill_budget.h"
#include "request.h"
#include "sampling_pool.h"
#include "sequence_cache.h"
#include "thread_governor.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace pyollama {

struct EngineStatus {
    uint64_t n_running  = 0; // requests that have a sequence
    uint64_t n_waiting  = 0; // requests that wait for one
    uint64_t n_seq_max  = 0;
    uint64_t n_ctx_seq  = 0;
    uint64_t n_cells    = 0; // cells in use, cached ones included
    uint64_t n_decoded  = 0; // tokens computed since the start, prompts included
    uint64_t n_threads  = 0; // that compute now; fewer than asked for while other programs want the processors
    bool     failed     = false;
};

// Continuous batching of many requests in one llama_context. One thread owns the context and runs steps; all public
// functions may be called from any thread and only leave a command for it, which it reads between two steps.
//
// A step is at most two llama_decode calls: one token for every generating sequence, then prompt tokens within a
// budget. They are not mixed, because llama.cpp splits sequences of different lengths into separate micro-batches
// anyway, and this way the gap of a running stream stays short.
class PYOLLAMA_API Engine {
  public:
    // Throws Error(load) if the context cannot be created.
    Engine(std::shared_ptr<Model> model, const ContextParams & params);
    ~Engine();
    Engine(const Engine &) = delete;
    Engine & operator=(const Engine &) = delete;

    // Queues a request; its events go to the channel, the last one with a finish reason. The grammar is compiled here,
    // on the caller's thread. Throws Error(invalid_argument, context_full, grammar, closed).
    uint64_t submit(RequestParams params, std::shared_ptr<Channel> channel);

    // The request ends with reason `cancelled` before the next micro-batch; if nobody else takes part in the current
    // one, that is given up too. False if no such request is running.
    bool cancel(uint64_t request_id);

    // The memory of the sequence that holds the longest beginning of tokens, as bytes for restore_state. identity: a
    // number that is the same for the same weights and adapters only. Throws Error(state) if no sequence does.
    std::string save_state(std::vector<llama_token> tokens, uint64_t identity);

    // Puts a saved state into an idle sequence, where a prompt that begins with its tokens will find it. Returns the
    // number of tokens. Throws Error(state) if the bytes are damaged, or of another model or set-up.
    uint64_t restore_state(std::string state, uint64_t identity);

    EngineStatus status() const;
    MemoryUse    memory_use() const;

    // Ends every request with Error(closed), stops the thread. Idempotent. Called by the destructor.
    void close();

  private:
    void run();
    void loop();
    bool has_step() const;
    bool sampling() const;
    void take_commands();
    void drop_cancelled();
    void admit();
    void decode_step();
    void prefill_step();
    bool compute(const std::vector<Sequence *> & taking_part, bool prompt);
    void take_logits(Sequence & sequence, int32_t row);
    void advance(Sequence & sequence, Choice && choice);
    void finish(Sequence & sequence, FinishReason reason);
    void fail(Sequence & sequence, ErrorCode code, const std::string & message);
    void end_waiting(const RequestPtr & request, FinishReason reason, ErrorCode code, const std::string & message);
    void end_all(ErrorCode code, const std::string & message);
    void post_end(const RequestPtr & request, Event && event);
    void update_status();
    bool should_abort() const noexcept;
    void run_on_engine(std::function<void()> task);

    // What the abort callback looks at, so it stands before the context. in_flight_ is empty but while computing.
    std::atomic<bool>            closing_{false};
    std::vector<const Request *> in_flight_;

    const ContextParams    params_;
    Context                context_;
    const Model &          model_;
    SequenceCache          cache_;
    PrefillBudget          budget_;
    ThreadGovernor         governor_;
    std::deque<RequestPtr> waiting_;

    // one micro-batch; kept to save allocations
    struct Batch {
        std::vector<llama_token>    tokens;
        std::vector<llama_pos>      positions;
        std::vector<llama_seq_id>   ids;
        std::vector<llama_seq_id *> id_pointers;
        std::vector<int32_t>        id_counts;
        std::vector<int8_t>         outputs;

        void    clear();
        int32_t add(llama_token token, size_t position, llama_seq_id id, bool output);
    } batch_;
    std::vector<Sequence *> taking_part_;

    mutable std::mutex                             mutex_; // guards what follows, up to commands_
    std::condition_variable                        wake_;
    std::deque<RequestPtr>                         inbox_;
    std::deque<std::function<void()>>              tasks_;
    std::vector<std::pair<RequestPtr, Choice>>     choices_;
    std::unordered_map<uint64_t, RequestPtr>       live_;
    EngineStatus                                   status_;
    bool                                           commands_ = false;

    std::atomic<uint64_t>         next_id_{1};
    std::mutex                    close_mutex_;
    std::unique_ptr<SamplingPool> pool_;
    std::thread                   thread_;
};

PYOLLAMA_API int64_t live_engines() noexcept;

} // namespace pyollama
