#include "char_set.h"

#include <algorithm>
#include <cstdio>

namespace pyollama::chat {

namespace {

// Letters and digits as they are, everything else as an escape that no layer below can misread.
std::string class_item(uint32_t code) {
    if ((code >= '0' && code <= '9') || (code >= 'A' && code <= 'Z') || (code >= 'a' && code <= 'z')) {
        return std::string(1, static_cast<char>(code));
    }
    char text[16];
    std::snprintf(text, sizeof(text), code < 0x80 ? "\\x%02X" : "\\U%08X", static_cast<unsigned>(code));
    return text;
}

// What JSON cannot hold as it is, and the letter of its short escape.
constexpr std::pair<uint32_t, const char *> escapes[] = {
    {0x22, "\\x22"}, {0x5C, "\\x5C"}, {0x08, "b"}, {0x0C, "f"}, {0x0A, "n"}, {0x0D, "r"}, {0x09, "t"},
};

} // namespace

std::vector<std::pair<uint32_t, uint32_t>> CharSet::normalized() const {
    auto sorted = ranges_;
    std::sort(sorted.begin(), sorted.end());
    std::vector<std::pair<uint32_t, uint32_t>> merged;
    for (const auto & range : sorted) {
        if (!merged.empty() && range.first <= merged.back().second + 1) {
            merged.back().second = std::max(merged.back().second, range.second);
        } else {
            merged.push_back(range);
        }
    }
    return merged;
}

CharSet CharSet::complement() const {
    CharSet  result;
    uint32_t next = 0;
    for (const auto & [low, high] : normalized()) {
        if (low > next) {
            result.add(next, low - 1);
        }
        next = high + 1;
    }
    if (next <= max_code) {
        result.add(next, max_code);
    }
    return result;
}

std::optional<uint32_t> CharSet::only() const {
    const auto ranges = normalized();
    if (ranges.size() != 1 || ranges[0].first != ranges[0].second) {
        return std::nullopt;
    }
    return ranges[0].first;
}

bool CharSet::contains(uint32_t code) const {
    return std::any_of(ranges_.begin(), ranges_.end(),
                       [code](const auto & range) { return range.first <= code && code <= range.second; });
}

std::string CharSet::json_regex() const {
    // Everything outside plus what JSON escapes (and DEL, which llama.cpp's string rule leaves out too).
    CharSet excluded = complement();
    excluded.add(0x00, 0x1F);
    excluded.add(0x22, 0x22);
    excluded.add(0x5C, 0x5C);
    excluded.add(0x7F, 0x7F);
    std::string plain;
    for (const auto & [low, high] : excluded.complement().normalized()) {
        plain += class_item(low);
        if (high > low) {
            plain += "-" + class_item(high);
        }
    }
    std::string escaped;
    for (const auto & [code, letter] : escapes) {
        if (contains(code)) {
            escaped += letter;
        }
    }
    const std::string first  = plain.empty() ? "" : "[" + plain + "]";
    const std::string second = escaped.empty() ? "" : "[\\x5C][" + escaped + "]";
    if (first.empty() || second.empty()) {
        return second.empty() ? first : "(" + second + ")";
    }
    return "(" + first + "|" + second + ")";
}

} // namespace pyollama::chat
