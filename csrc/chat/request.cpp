#include "request.h"

#include "error.h"
#include "json_text.h"
#include "messages.h"
#include "schema_check.h"

#include <limits>

namespace pyollama::chat {

namespace {

constexpr size_t max_tool_name = 256; // names become parts of grammar rules and go through std::regex, which recurses

// The value of an optional key; null counts as absent.
const common_json * find(const common_json & object, const char * key) {
    if (!object.contains(key) || object.at(key).is_null()) {
        return nullptr;
    }
    return &object.at(key);
}

bool read_bool(const common_json & object, const char * key, bool otherwise) {
    const common_json * value = find(object, key);
    if (value == nullptr) {
        return otherwise;
    }
    if (!value->is_boolean()) {
        throw Error(ErrorKind::json, std::string("'") + key + "' must be true or false");
    }
    return value->get<bool>();
}

std::string read_text(const common_json & object, const char * key, const char * otherwise) {
    const common_json * value = find(object, key);
    if (value == nullptr) {
        return otherwise;
    }
    if (!value->is_string()) {
        throw Error(ErrorKind::json, std::string("'") + key + "' must be a string");
    }
    return value->get<std::string>();
}

int64_t read_integer(const common_json & object, const char * key, int64_t low, int64_t high, int64_t otherwise) {
    const common_json * value = find(object, key);
    if (value == nullptr) {
        return otherwise;
    }
    // Through double first: the JSON library converts a number that is too large without a word.
    const double number = value->is_number() ? value->get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high))) {
        throw Error(ErrorKind::json, std::string("'") + key + "' must be a number from " + std::to_string(low) +
                                         " to " + std::to_string(high));
    }
    return static_cast<int64_t>(number);
}

common_chat_continuation read_continuation(const common_json & request) {
    const common_json * value = find(request, "continue_final_message");
    if (value == nullptr) {
        return COMMON_CHAT_CONTINUATION_NONE;
    }
    const common_chat_continuation continuation = common_chat_continuation_parse(*value);
    if (continuation == COMMON_CHAT_CONTINUATION_NONE && !(value->is_boolean() && !value->get<bool>())) {
        throw Error(ErrorKind::json,
                    "'continue_final_message' must be true, false, \"content\" or \"reasoning_content\"");
    }
    return continuation;
}

void read_tools_into(Request & result, const common_json & request) {
    const common_json * tools = find(request, "tools");
    if (tools == nullptr) {
        return;
    }
    result.tools = read_tools(*tools);
    for (const common_chat_tool & tool : result.tools) {
        if (tool.name.empty() || tool.name.size() > max_tool_name) {
            throw Error(ErrorKind::json, "a tool's name must have 1 to " + std::to_string(max_tool_name) + " bytes");
        }
        // llama.cpp converts the parameters as they are, because the prompt shows them; they are only checked here.
        for (const std::string & warning : prepare_schema(common_json::parse(tool.parameters)).warnings) {
            result.warnings.push_back("tool " + tool.name + ": " + warning);
        }
    }
}

} // namespace

Request read_request(const std::string & request_json) {
    const common_json request = parse_json(request_json, request_limits, "request");
    if (!request.is_object()) {
        throw Error(ErrorKind::json, "the request must be an object");
    }
    Request result;
    if (!request.contains("messages")) {
        throw Error(ErrorKind::json, "'messages' is missing");
    }
    result.messages = read_messages(request.at("messages"));
    result.plain    = read_bool(request, "plain", false);
    read_tools_into(result, request);
    try {
        result.tool_choice      = common_chat_tool_choice_parse_oaicompat(read_text(request, "tool_choice", "auto"));
        result.reasoning_format = common_reasoning_format_from_name(read_text(request, "reasoning_format", "auto"));
    } catch (const Error &) {
        throw;
    } catch (const std::exception & e) {
        throw Error(ErrorKind::json, e.what());
    }
    if (find(request, "parallel_tool_calls") != nullptr) {
        result.parallel_tool_calls = read_bool(request, "parallel_tool_calls", false) ? 1 : 0;
    }
    if (const common_json * schema = find(request, "json_schema")) {
        PreparedSchema prepared = prepare_schema(*schema);
        result.json_schema      = prepared.schema;
        result.warnings.insert(result.warnings.end(), prepared.warnings.begin(), prepared.warnings.end());
    }
    result.grammar               = read_text(request, "grammar", "");
    result.continuation          = read_continuation(request);
    result.add_generation_prompt = read_bool(request, "add_generation_prompt", true);
    result.enable_thinking       = read_bool(request, "enable_thinking", true);
    result.add_bos               = read_bool(request, "add_bos", false);
    result.add_eos               = read_bool(request, "add_eos", false);
    result.now                   = static_cast<std::time_t>(
        read_integer(request, "now", 0, 253402300799, static_cast<int64_t>(std::time(nullptr)))); // year 9999
    result.time_limit = std::chrono::milliseconds(read_integer(request, "time_limit_ms", 1, 600000, 10000));

    result.variables = common_json::object();
    if (const common_json * variables = find(request, "chat_template_kwargs")) {
        if (!variables->is_object()) {
            throw Error(ErrorKind::json, "'chat_template_kwargs' must be an object");
        }
        result.variables = *variables;
    }

    const bool offers_tools = !result.tools.empty() && result.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
    if (!result.grammar.empty() && (offers_tools || !result.json_schema.is_null())) {
        throw Error(ErrorKind::json, "'grammar' cannot be combined with tools or 'json_schema'");
    }
    if (result.plain && (offers_tools || !result.json_schema.is_null())) {
        throw Error(ErrorKind::json, "'plain' cannot be combined with tools or 'json_schema'");
    }
    if (result.continuation != COMMON_CHAT_CONTINUATION_NONE) {
        if (result.messages.empty() || result.messages.back().role != "assistant") {
            throw Error(ErrorKind::json, "there is no assistant message to continue");
        }
        if (!result.messages.back().tool_calls.empty()) {
            throw Error(ErrorKind::json, "a message with tool calls cannot be continued");
        }
    }
    return result;
}

} // namespace pyollama::chat
