#pragma once

#include "chat.h"
#include "json.h"

#include <vector>

namespace pyollama::chat {

// Reads OpenAI-style messages. Beyond llama.cpp's own reader: a tool call without "type" is a function, without
// "arguments" has none, and "tool_name" is another spelling of "name".
// Throws Error(json) for what is not a list of messages.
std::vector<common_chat_msg> read_messages(const common_json & messages);

// Reads OpenAI-style tools; a tool without "type" is a function. Throws Error(json).
std::vector<common_chat_tool> read_tools(const common_json & tools);

// The messages as this template wants them: content as text or as parts, arguments as an object or as text,
// the system message merged into the next one where the template knows no system role.
common_json adapt_messages(const std::vector<common_chat_msg> & messages, const common_chat_template & tmpl);

} // namespace pyollama::chat
