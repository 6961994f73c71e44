#include "messages.h"

#include "common.h"
#include "error.h"
#include "json_text.h"

#include <string>

namespace pyollama::chat {

namespace {

void complete_tool_calls(common_json & message) {
    if (!message.contains("tool_calls")) {
        return;
    }
    common_json & calls = message["tool_calls"];
    if (calls.is_null()) {
        message.erase("tool_calls");
        return;
    }
    if (!calls.is_array()) {
        throw Error(ErrorKind::json, "'tool_calls' must be an array");
    }
    for (auto & call : calls) {
        if (!call.is_object()) {
            throw Error(ErrorKind::json, "a tool call must be an object");
        }
        if (!call.contains("type")) {
            call["type"] = "function";
        }
        if (call.contains("function") && call["function"].is_object() && !call["function"].contains("arguments")) {
            call["function"]["arguments"] = common_json::object();
        }
    }
}

// Parts joined by line ends, but none beside a media marker: llama.cpp's rule.
std::string join_parts(const common_json & parts) {
    std::string text;
    bool        after_marker = false;
    for (const auto & part : parts) {
        const std::string type = part.value("type", "");
        if (type == "text") {
            if (!after_marker && !text.empty()) {
                text += '\n';
            }
            after_marker = false;
        } else {
            after_marker = true;
        }
        text += part.value("text", "");
    }
    return text;
}

common_json text_part(const std::string & text) {
    return common_json{{"type", "text"}, {"text", text}};
}

void adapt_content(common_json & message, const jinja::caps & caps) {
    if (!message.contains("content")) {
        return;
    }
    common_json & content = message["content"];
    if (content.is_array() && caps.supports_string_content && !caps.supports_typed_content) {
        content = join_parts(content);
    } else if (content.is_string() && !caps.supports_string_content && caps.supports_typed_content) {
        common_json parts = common_json::array();
        parts.push_back(text_part(content.get<std::string>()));
        content = parts;
    }
}

void merge_system_message(common_json & messages) {
    if (messages.empty() || messages.front().value("role", "") != "system") {
        return;
    }
    if (messages.size() > 1) {
        common_json &     content = messages[size_t(1)]["content"];
        const std::string system  = messages.front().at("content").is_array()
                                        ? join_parts(messages.front().at("content"))
                                        : messages.front().at("content").get<std::string>();
        if (content.is_array()) {
            common_json parts = common_json::array();
            parts.push_back(text_part(system));
            parts.insert(content);
            content = parts;
        } else {
            content = system + "\n" + content.get<std::string>();
        }
    }
    messages.erase(size_t(0));
}

void arguments_as_objects(common_json & message) {
    if (!message.contains("tool_calls")) {
        return;
    }
    for (auto & call : message["tool_calls"]) {
        common_json & arguments = call["function"]["arguments"];
        if (arguments.is_string()) {
            const std::string text = arguments.get<std::string>();
            arguments = text.empty() ? common_json::object()
                                     : parse_json(text, request_limits, "text of a tool call's arguments");
        }
    }
}

// Some reasoning models loop on white space around a message; their template is known by this sentence.
bool wants_trimmed_content(const common_chat_template & tmpl) {
    return tmpl.source().find("You have access to the following functions in JSONSchema format") != std::string::npos;
}

void trim(std::string & text) {
    const char * white = " \t\r\n\v\f";
    text.erase(0, text.find_first_not_of(white));
    text.erase(text.find_last_not_of(white) + 1);
}

} // namespace

std::vector<common_chat_msg> read_messages(const common_json & messages) {
    if (!messages.is_array()) {
        throw Error(ErrorKind::json, "'messages' must be an array");
    }
    common_json complete = messages;
    for (auto & message : complete) {
        if (!message.is_object()) {
            throw Error(ErrorKind::json, "a message must be an object");
        }
        complete_tool_calls(message);
        if (message.contains("tool_name") && !message.contains("name")) {
            message["name"] = message.at("tool_name");
        }
        for (const char * key : {"reasoning_content", "name", "tool_call_id"}) {
            if (message.contains(key) && message.at(key).is_null()) {
                message.erase(key);
            }
        }
    }
    try {
        return common_chat_msgs_parse_oaicompat(complete);
    } catch (const std::exception & e) {
        throw Error(ErrorKind::json, e.what());
    }
}

std::vector<common_chat_tool> read_tools(const common_json & tools) {
    if (!tools.is_array() && !tools.is_null()) {
        throw Error(ErrorKind::json, "'tools' must be an array");
    }
    common_json complete = tools;
    if (complete.is_array()) {
        for (auto & tool : complete) {
            if (!tool.is_object()) {
                throw Error(ErrorKind::json, "a tool must be an object");
            }
            if (!tool.contains("type")) {
                tool["type"] = "function";
            }
            if (tool.contains("function") && tool["function"].is_object()) {
                for (const char * key : {"description", "parameters"}) {
                    if (tool["function"].contains(key) && tool["function"].at(key).is_null()) {
                        tool["function"].erase(key);
                    }
                }
            }
        }
    }
    try {
        return common_chat_tools_parse_oaicompat(complete);
    } catch (const std::exception & e) {
        throw Error(ErrorKind::json, e.what());
    }
}

common_json adapt_messages(const std::vector<common_chat_msg> & messages, const common_chat_template & tmpl) {
    const jinja::caps caps = tmpl.original_caps();
    const bool        trimmed = wants_trimmed_content(tmpl);
    const bool        harmony = tmpl.source().find("<|channel|>") != std::string::npos;

    common_json adapted = common_json::array();
    for (common_chat_msg message : messages) {
        if (trimmed) {
            trim(message.content);
            trim(message.reasoning_content);
            for (auto & part : message.content_parts) {
                if (part.type == "text") {
                    trim(part.text);
                }
            }
        }
        common_json json = message.to_json_oaicompat(false);
        adapt_content(json, caps);
        if (!harmony && message.role == "developer") {
            json["role"] = "system";
        }
        if (caps.supports_object_arguments) {
            arguments_as_objects(json);
        }
        adapted.push_back(json);
    }
    if (!caps.supports_system_role) {
        merge_system_message(adapted);
    }
    return adapted;
}

} // namespace pyollama::chat
