#include "json_text.h"

#include "error.h"

#include <vector>

namespace pyollama::chat {

namespace {

[[noreturn]] void refuse(const char * what, const std::string & problem) {
    throw Error(ErrorKind::json, std::string("the ") + what + " " + problem);
}

// Counts brackets and members without building anything. The text need not be valid: the parser says so later.
void check_limits(const std::string & text, const JsonLimits & limits, const char * what) {
    if (text.size() > limits.bytes) {
        refuse(what, "is larger than " + std::to_string(limits.bytes) + " bytes");
    }
    std::vector<size_t> members; // colons seen in each open bracket
    bool                in_string = false;
    for (size_t i = 0; i < text.size(); i++) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
            continue;
        }
        switch (c) {
            case '"':
                in_string = true;
                break;
            case '{':
            case '[':
                members.push_back(0);
                if (members.size() > limits.depth) {
                    refuse(what, "is nested deeper than " + std::to_string(limits.depth) + " levels");
                }
                break;
            case '}':
            case ']':
                if (!members.empty()) {
                    members.pop_back();
                }
                break;
            case ':':
                if (!members.empty() && ++members.back() > limits.members) {
                    refuse(what, "has an object with more than " + std::to_string(limits.members) + " members");
                }
                break;
            default:
                break;
        }
    }
}

} // namespace

common_json parse_json(const std::string & text, const JsonLimits & limits, const char * what) {
    check_limits(text, limits, what);
    try {
        return common_json::parse(text);
    } catch (const common_json_error & e) {
        std::string detail = e.what();
        // "[json.exception.parse_error.101] parse error at line 1, ..." -> "parse error at line 1, ..."
        if (const size_t end = detail.find("] "); detail.front() == '[' && end != std::string::npos) {
            detail.erase(0, end + 2);
        }
        refuse(what, "is not valid JSON: " + detail);
    }
}

} // namespace pyollama::chat
