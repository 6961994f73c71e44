#pragma once

#include "chat.h"
#include "chat-auto-parser.h"

#include <chrono>
#include <ctime>
#include <string>
#include <vector>

namespace pyollama::chat {

// A rendering request, read and checked. chat_template.h lists the keys.
struct Request {
    std::vector<common_chat_msg>  messages;
    std::vector<common_chat_tool> tools;
    common_chat_tool_choice       tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
    int                           parallel_tool_calls = -1; // -1: as the template can
    common_json                   json_schema; // null, or ready for conversion
    std::string                   grammar;
    bool                          add_generation_prompt = true;
    common_chat_continuation      continuation = COMMON_CHAT_CONTINUATION_NONE;
    bool                          enable_thinking = true;
    common_reasoning_format       reasoning_format = COMMON_REASONING_FORMAT_AUTO;
    common_json                   variables; // an object
    std::time_t                   now = 0;
    bool                          add_bos = false;
    bool                          add_eos = false;
    bool                          plain = false;
    std::chrono::milliseconds     time_limit{10000};
    std::vector<std::string>      warnings;
};

// Throws Error(json) and Error(schema).
Request read_request(const std::string & request_json);

} // namespace pyollama::chat
