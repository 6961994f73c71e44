#include "text_stream.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace pyollama {

namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD"; // U+FFFD

bool is_continuation(unsigned char byte) {
    return (byte & 0xC0U) == 0x80U;
}

// Result of looking at the first character of a text: its length if whole, 0 if more bytes may complete it,
// or the negated number of bytes that are invalid together. Ranges from table 3-7 of the Unicode standard.
int character(std::string_view text) {
    const auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80U) {
        return 1;
    }
    int           length = 0;
    unsigned char low    = 0x80U;
    unsigned char high   = 0xBFU;
    if (first >= 0xC2U && first <= 0xDFU) {
        length = 2;
    } else if (first >= 0xE0U && first <= 0xEFU) {
        length = 3;
        low    = first == 0xE0U ? 0xA0U : 0x80U; // no overlong forms
        high   = first == 0xEDU ? 0x9FU : 0xBFU; // no surrogates
    } else if (first >= 0xF0U && first <= 0xF4U) {
        length = 4;
        low    = first == 0xF0U ? 0x90U : 0x80U;
        high   = first == 0xF4U ? 0x8FU : 0xBFU; // nothing above U+10FFFF
    } else {
        return -1;
    }
    for (int i = 1; i < length; ++i) {
        if (static_cast<size_t>(i) == text.size()) {
            return 0;
        }
        const unsigned char next = byte(static_cast<size_t>(i));
        const bool          fits = i == 1 ? next >= low && next <= high : is_continuation(next);
        if (!fits) {
            return -i;
        }
    }
    return length;
}

} // namespace

TextStream::TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {
    stops_.erase(std::remove_if(stops_.begin(), stops_.end(), [](const std::string & stop) { return stop.empty(); }),
                 stops_.end());
}

void TextStream::decode(std::string_view bytes) {
    partial_.append(bytes);
    size_t start = 0;
    while (start < partial_.size()) {
        const int length = character(std::string_view(partial_).substr(start));
        if (length == 0) {
            break;
        }
        if (length > 0) {
            held_.append(partial_, start, static_cast<size_t>(length));
            start += static_cast<size_t>(length);
        } else {
            held_.append(replacement);
            start += static_cast<size_t>(-length);
        }
    }
    partial_.erase(0, start);
}

std::string TextStream::release() {
    size_t found = std::string::npos;
    size_t end   = std::string::npos;
    for (const std::string & stop : stops_) {
        const size_t at = held_.find(stop);
        if (at == std::string::npos) {
            continue;
        }
        if (at + stop.size() < end || (at + stop.size() == end && at < found)) {
            found = at;
            end   = at + stop.size();
            stop_ = stop;
        }
    }
    if (found != std::string::npos) {
        stopped_         = true;
        std::string text = held_.substr(0, found);
        held_.clear();
        partial_.clear();
        return text;
    }
    // keep the longest end that is a proper beginning of some stop string
    size_t keep = 0;
    for (const std::string & stop : stops_) {
        for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
            if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) {
                keep = n;
            }
        }
    }
    std::string text = held_.substr(0, held_.size() - keep);
    held_.erase(0, held_.size() - keep);
    return text;
}

std::string TextStream::push(std::string_view bytes) {
    if (stopped_) {
        return {};
    }
    decode(bytes);
    return release();
}

std::string TextStream::finish() {
    if (stopped_) {
        return {};
    }
    if (!partial_.empty()) {
        partial_.clear();
        held_.append(replacement); // what is left is one truncated character
    }
    std::string text = release();
    if (!stopped_) {
        text += held_;
        held_.clear();
    }
    return text;
}

} // namespace pyollama
