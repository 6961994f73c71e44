#include "sampling_pool.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace pyollama {

namespace {

constexpr size_t n_threads = 2; // that are not given up
constexpr size_t most_lost = 8; // given up and still busy: more would only take the processors from everybody

constexpr std::chrono::milliseconds patience{500};

} // namespace

struct SamplingPool::State {
    State(std::shared_ptr<const Model> for_model, Done when_done) : model(std::move(for_model)), done(std::move(when_done)) {}

    const std::shared_ptr<const Model> model;
    const Done                         done;

    std::mutex              mutex;
    std::condition_variable ready; // something is queued, or closing
    std::condition_variable idle;  // a thread has ended a choice
    std::deque<RequestPtr>  queue;
    std::vector<RequestPtr> busy; // being sampled for by threads that are waited for
    std::vector<RequestPtr> lost; // by threads that were given up
    size_t                  live    = 0; // threads that were not given up
    bool                    closing = false;

    // Starts a thread if the queue needs one. The lock is held.
    static void grow(const std::shared_ptr<State> & state);
    static void work(const std::shared_ptr<State> & state);
};

namespace {

bool remove_from(std::vector<RequestPtr> & list, const RequestPtr & request) {
    const auto at = std::find(list.begin(), list.end(), request);
    if (at == list.end()) {
        return false;
    }
    list.erase(at);
    return true;
}

} // namespace

SamplingPool::SamplingPool(std::shared_ptr<const Model> model, Done done)
    : state_(std::make_shared<State>(std::move(model), std::move(done))) {}

SamplingPool::~SamplingPool() {
    std::unique_lock<std::mutex> lock(state_->mutex);
    state_->closing = true;
    state_->queue.clear();
    state_->ready.notify_all();
    state_->idle.wait_for(lock, patience, [this] { return state_->busy.empty(); });
}

void SamplingPool::submit(RequestPtr request) {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->queue.push_back(std::move(request));
    State::grow(state_);
    state_->ready.notify_one();
}

void SamplingPool::give_up(const RequestPtr & request) {
    std::lock_guard<std::mutex> lock(state_->mutex);
    auto & queue = state_->queue;
    queue.erase(std::remove(queue.begin(), queue.end(), request), queue.end());
    if (remove_from(state_->busy, request)) {
        state_->lost.push_back(request);
        --state_->live;
        State::grow(state_);
    }
}

void SamplingPool::State::grow(const std::shared_ptr<State> & state) {
    const size_t unoccupied = state->live - state->busy.size();
    if (state->queue.size() > unoccupied && state->live < n_threads && state->lost.size() < most_lost) {
        std::thread([state] { work(state); }).detach();
        ++state->live;
    }
}

void SamplingPool::State::work(const std::shared_ptr<State> & state) {
    std::unique_lock<std::mutex> lock(state->mutex);
    for (;;) {
        state->ready.wait(lock, [&state] { return state->closing || !state->queue.empty(); });
        if (state->closing) {
            return;
        }
        const RequestPtr request = std::move(state->queue.front());
        state->queue.pop_front();
        state->busy.push_back(request);
        lock.unlock();
        Choice choice = choose(*request, *state->model, request->row.data());
        lock.lock();
        const bool wanted = remove_from(state->busy, request);
        if (wanted && !state->closing) {
            // under the lock, so that the destructor knows that no call is on its way
            state->done(request, std::move(choice));
        }
        state->idle.notify_all();
        if (!wanted) { // another thread took this one's place
            remove_from(state->lost, request);
            grow(state);
            return;
        }
    }
}

} // namespace pyollama
