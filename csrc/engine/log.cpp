#include "log.h"

#include "llama.h"

#include <cstdio>
#include <deque>
#include <mutex>

namespace pyollama {

namespace {

constexpr size_t ring_size = 16 * 1024;

struct Ring {
    std::mutex  mutex;
    std::string text;
    bool        echo = false;
};

// Leaked on purpose: ggml may log from a thread that outlives static destruction.
Ring & ring() {
    static Ring * instance = new Ring();
    return *instance;
}

thread_local LogCapture * current_capture = nullptr;
thread_local bool         capture_continues = false; // a CONT piece belongs to the line before it

void sink(ggml_log_level level, const char * text, void * /*user_data*/) {
    if (text == nullptr) {
        return;
    }
    const bool grave = level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR;
    if (level != GGML_LOG_LEVEL_CONT) {
        capture_continues = grave;
    }
    if (current_capture != nullptr && (grave || (level == GGML_LOG_LEVEL_CONT && capture_continues))) {
        current_capture->append(text);
    }
    if (level == GGML_LOG_LEVEL_DEBUG) {
        return;
    }
    Ring & r = ring();
    std::lock_guard<std::mutex> lock(r.mutex);
    if (r.echo) {
        std::fputs(text, stderr);
    }
    r.text += text;
    if (r.text.size() > ring_size) {
        const size_t cut = r.text.find('\n', r.text.size() - ring_size / 2);
        r.text.erase(0, cut == std::string::npos ? r.text.size() - ring_size / 2 : cut + 1);
    }
}

} // namespace

void log_install() {
    llama_log_set(sink, nullptr);
}

void log_set_echo(bool on) {
    std::lock_guard<std::mutex> lock(ring().mutex);
    ring().echo = on;
}

std::string log_recent() {
    std::lock_guard<std::mutex> lock(ring().mutex);
    return ring().text;
}

LogCapture::LogCapture() : outer_(current_capture) {
    current_capture = this;
}

LogCapture::~LogCapture() {
    current_capture = outer_;
}

void LogCapture::append(const char * text) {
    text_ += text;
    if (text_.size() > max_size) {
        text_.erase(0, text_.size() - max_size);
    }
}

std::string LogCapture::summary() const {
    std::string out;
    size_t      start = 0;
    while (start < text_.size()) {
        size_t end = text_.find('\n', start);
        if (end == std::string::npos) {
            end = text_.size();
        }
        std::string line = text_.substr(start, end - start);
        start            = end + 1;
        // "llama_model_load: error loading model: ..." -> "error loading model: ..."
        const size_t colon = line.find(": ");
        if (colon != std::string::npos && line.find(' ') > colon) {
            line.erase(0, colon + 2);
        }
        if (line.empty()) {
            continue;
        }
        if (!out.empty()) {
            out += "; ";
        }
        out += line;
    }
    return out;
}

} // namespace pyollama
