#include "engine.h"

#include "error.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

namespace pyollama {

namespace {

std::atomic<int64_t> live_count{0};

// One choice under a grammar that takes longer ends its request: at that pace no answer would ever come.
constexpr std::chrono::seconds time_for_one_token{10};

const char * const closed_message = "the engine was closed";

} // namespace

int64_t live_engines() noexcept {
    return live_count.load();
}

Engine::Engine(std::shared_ptr<Model> model, const ContextParams & params)
    : params_(params), context_(std::move(model), params,
                                [](void * self) { return static_cast<const Engine *>(self)->should_abort(); }, this),
      model_(context_.model()), cache_(context_), governor_(params.n_threads) {
    if (context_.memory() == nullptr) {
        throw Error(ErrorCode::unsupported, "this model does not generate text: it is an encoder, use it for embeddings");
    }
    status_.n_seq_max = params.n_seq_max;
    status_.n_ctx_seq = params.n_ctx_seq;
    status_.n_threads = static_cast<uint64_t>(params.n_threads);
    pool_             = std::make_unique<SamplingPool>(context_.shared_model(), [this](const RequestPtr & request, Choice && choice) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            choices_.emplace_back(request, std::move(choice));
            commands_ = true;
        }
        wake_.notify_one();
    });
    thread_ = std::thread([this] { run(); });
    live_count.fetch_add(1);
}

Engine::~Engine() {
    close();
    live_count.fetch_sub(1);
}

void Engine::close() {
    std::lock_guard<std::mutex> only_one(close_mutex_);
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closing_.store(true);
        commands_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) {
        thread_.join();
    }
    pool_.reset(); // its threads may work on for a while: what they use is theirs too
}

uint64_t Engine::submit(RequestParams params, std::shared_ptr<Channel> channel) {
    if (params.prompt.empty()) {
        throw Error(ErrorCode::invalid_argument, "the prompt has no tokens: there is nothing to continue");
    }
    for (const llama_token token : params.prompt) {
        if (!model_.is_valid(token)) {
            throw Error(ErrorCode::invalid_argument, "prompt token " + std::to_string(token) +
                                                         " is not in the vocabulary: ids go from 0 to " +
                                                         std::to_string(model_.n_vocab() - 1));
        }
    }
    for (const auto & [token, bias] : params.sampling.logit_bias) {
        (void) bias;
        if (!model_.is_valid(token)) {
            throw Error(ErrorCode::invalid_argument, "logit_bias names token " + std::to_string(token) +
                                                         ", which is not in the vocabulary: ids go from 0 to " +
                                                         std::to_string(model_.n_vocab() - 1));
        }
    }
    params.n_ctx = params.n_ctx == 0 ? params_.n_ctx_seq : std::min(params.n_ctx, params_.n_ctx_seq);
    if (params.prompt.size() > params.n_ctx) {
        throw Error(ErrorCode::context_full, "the prompt has " + std::to_string(params.prompt.size()) +
                                                 " tokens, the context holds " + std::to_string(params.n_ctx));
    }
    const auto whole_context = static_cast<int32_t>(params.n_ctx);
    if (params.sampling.repeat_last_n < 0) {
        params.sampling.repeat_last_n = whole_context;
    }
    if (params.sampling.dry_penalty_last_n < 0) {
        params.sampling.dry_penalty_last_n = whole_context;
    }

    const uint64_t id      = next_id_.fetch_add(1);
    auto           request = std::make_shared<Request>(id, std::move(params), std::move(channel), context_.shared_model());
    request->sampler->accept_prompt(request->params.prompt);
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (closing_.load()) {
            throw Error(ErrorCode::closed, closed_message);
        }
        live_.emplace(id, request);
        inbox_.push_back(std::move(request));
        ++status_.n_waiting;
        commands_ = true;
    }
    wake_.notify_one();
    return id;
}

bool Engine::cancel(uint64_t request_id) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto at = live_.find(request_id);
        if (at == live_.end()) {
            return false;
        }
        at->second->cancelled.store(true);
        commands_ = true;
    }
    wake_.notify_one();
    return true;
}

EngineStatus Engine::status() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return status_;
}

MemoryUse Engine::memory_use() const {
    return context_.memory_use();
}

bool Engine::should_abort() const noexcept {
    if (closing_.load(std::memory_order_relaxed)) {
        return true;
    }
    // Aborting loses the micro-batch for all who take part, so all must have been cancelled.
    return !in_flight_.empty() && std::all_of(in_flight_.begin(), in_flight_.end(), [](const Request * request) {
        return request->cancelled.load(std::memory_order_relaxed);
    });
}

void Engine::run() {
    try {
        loop();
        end_all(ErrorCode::closed, closed_message);
    } catch (const std::exception & error) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            closing_.store(true);
            status_.failed = true;
        }
        end_all(ErrorCode::decode, std::string("the engine stopped: ") + error.what());
    }
}

void Engine::loop() {
    for (;;) {
        {
            std::unique_lock<std::mutex> lock(mutex_);
            if (!has_step()) {
                if (sampling()) {
                    wake_.wait_for(lock, std::chrono::milliseconds(200), [this] { return commands_; });
                } else {
                    wake_.wait(lock, [this] { return commands_; });
                }
            }
        }
        take_commands();
        if (closing_.load()) {
            return;
        }
        drop_cancelled();
        admit();
        decode_step();
        prefill_step();
        update_status();
    }
}

bool Engine::has_step() const {
    const auto can_go_on = [this](const Sequence & sequence) {
        return sequence.idle() ? !waiting_.empty() : sequence.request->phase != Request::Phase::sampling;
    };
    return std::any_of(cache_.all().begin(), cache_.all().end(), can_go_on);
}

bool Engine::sampling() const {
    return std::any_of(cache_.all().begin(), cache_.all().end(), [](const Sequence & sequence) {
        return !sequence.idle() && sequence.request->phase == Request::Phase::sampling;
    });
}

void Engine::take_commands() {
    std::deque<std::function<void()>>          tasks;
    std::vector<std::pair<RequestPtr, Choice>> choices;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!commands_) {
            return;
        }
        commands_ = false;
        waiting_.insert(waiting_.end(), inbox_.begin(), inbox_.end());
        inbox_.clear();
        tasks.swap(tasks_);
        choices.swap(choices_);
    }
    for (const auto & task : tasks) {
        task();
    }
    for (auto & [request, choice] : choices) {
        for (Sequence & sequence : cache_.all()) {
            if (sequence.request == request) {
                advance(sequence, std::move(choice));
                break;
            }
        }
    }
}

void Engine::drop_cancelled() {
    const auto now = Clock::now();
    for (Sequence & sequence : cache_.all()) {
        if (sequence.idle()) {
            continue;
        }
        const RequestPtr request = sequence.request;
        const bool       busy    = request->phase == Request::Phase::sampling;
        if (request->cancelled.load()) {
            finish(sequence, FinishReason::cancelled);
        } else if (busy && now - request->sampling_since > time_for_one_token) {
            fail(sequence, ErrorCode::grammar,
                 "the grammar is too slow: one token took longer than " + std::to_string(time_for_one_token.count()) +
                     " s to choose");
        }
        if (busy && sequence.idle()) {
            pool_->give_up(request);
        }
    }
    const auto staying = [](const RequestPtr & request) { return !request->cancelled.load(); };
    const auto first   = std::stable_partition(waiting_.begin(), waiting_.end(), staying);
    const std::vector<RequestPtr> gone(first, waiting_.end());
    waiting_.erase(first, waiting_.end());
    for (const RequestPtr & request : gone) {
        end_waiting(request, FinishReason::cancelled, ErrorCode::cancelled, "");
    }
}

void Engine::admit() {
    while (!waiting_.empty()) {
        const RequestPtr request = waiting_.front();
        if (cache_.acquire(request) == nullptr) {
            return;
        }
        waiting_.pop_front();
        request->phase          = Request::Phase::prefill;
        request->started        = Clock::now();
        request->stats.queue_ns = nanoseconds(request->started - request->submitted);
    }
}

void Engine::finish(Sequence & sequence, FinishReason reason) {
    const RequestPtr request = sequence.request;
    Event            event;
    event.finish = reason;
    if (reason != FinishReason::cancelled) {
        event.text = request->text.finish();
        event.stop = request->text.stop();
    }
    cache_.release(sequence);
    post_end(request, std::move(event));
}

void Engine::fail(Sequence & sequence, ErrorCode code, const std::string & message) {
    const RequestPtr request = sequence.request;
    Event            event;
    event.finish     = FinishReason::error;
    event.error_code = code;
    event.error      = message;
    cache_.release(sequence);
    post_end(request, std::move(event));
}

void Engine::end_waiting(const RequestPtr & request, FinishReason reason, ErrorCode code, const std::string & message) {
    Event event;
    event.finish     = reason;
    event.error_code = code;
    event.error      = message;
    request->started = Clock::now();
    post_end(request, std::move(event));
}

void Engine::end_all(ErrorCode code, const std::string & message) {
    for (Sequence & sequence : cache_.all()) {
        if (!sequence.idle()) {
            fail(sequence, code, message);
        }
    }
    std::deque<std::function<void()>> tasks;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        waiting_.insert(waiting_.end(), inbox_.begin(), inbox_.end());
        inbox_.clear();
        tasks.swap(tasks_);
    }
    const std::deque<RequestPtr> gone = std::exchange(waiting_, {});
    for (const RequestPtr & request : gone) {
        end_waiting(request, FinishReason::error, code, message);
    }
    for (const auto & task : tasks) {
        task(); // each sees that the engine is closing and says so to its caller
    }
    update_status();
}

void Engine::post_end(const RequestPtr & request, Event && event) {
    const auto now = Clock::now();
    if (request->stats.n_generated > 0) {
        request->stats.eval_ns = nanoseconds(now - request->first_token);
    } else if (request->phase != Request::Phase::waiting) {
        request->stats.prompt_eval_ns = nanoseconds(now - request->started);
    }
    request->phase   = Request::Phase::done;
    event.request_id = request->id;
    event.stats      = request->stats;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        live_.erase(request->id);
    }
    update_status(); // first: whoever sees the end may ask, and must not find the request still running
    request->channel->post(std::move(event));
}

void Engine::update_status() {
    uint64_t running = 0;
    uint64_t cells   = 0;
    for (const Sequence & sequence : cache_.all()) {
        running += sequence.idle() ? 0 : 1;
        cells += sequence.cells.size();
    }
    std::lock_guard<std::mutex> lock(mutex_);
    status_.n_running = running;
    status_.n_cells   = cells;
    status_.n_threads = static_cast<uint64_t>(governor_.threads());
    status_.n_waiting = waiting_.size() + inbox_.size();
}

} // namespace pyollama
