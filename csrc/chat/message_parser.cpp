#include "message_parser.h"

#include "json_text.h"

#include "chat.h"

namespace pyollama::chat {

namespace {

// llama.cpp's parser recurses for every bracket of a JSON value that it reads.
constexpr size_t max_brackets = 500;

common_chat_format format_from_name(const std::string & name) {
    for (int i = 0; i < COMMON_CHAT_FORMAT_COUNT; i++) {
        const auto format = static_cast<common_chat_format>(i);
        if (name == common_chat_format_name(format)) {
            return format;
        }
    }
    throw Error(ErrorKind::json, "unknown chat format \"" + name + "\"");
}

// Counts every opening bracket that is not closed again, in strings too: what counts as a string depends on
// the format, and hundreds of them are not an answer in any.
void check_brackets(const std::string & text) {
    size_t depth = 0;
    for (const char c : text) {
        if (c == '[' || c == '{') {
            if (++depth > max_brackets) {
                throw Error(ErrorKind::parse, "the model's output nests brackets too deeply to be parsed");
            }
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
}

} // namespace

struct MessageParser::Impl {
    common_chat_parser_params params;
    bool                      plain = true; // no format to look for
};

MessageParser::MessageParser(const std::string & params_json) {
    const common_json json = parse_json(params_json, request_limits, "parser parameters");
    if (!json.is_object()) {
        throw Error(ErrorKind::json, "the parser parameters must be an object");
    }
    auto impl = std::make_unique<Impl>();
    try {
        common_chat_parser_params & params = impl->params;
        if (json.contains("format")) {
            params.format = format_from_name(json.at("format").get<std::string>());
        }
        params.generation_prompt = json.value("generation_prompt", "");
        const std::string parser = json.value("parser", "");
        if (!parser.empty()) {
            params.parser.load(parser);
            impl->plain = false;
        }
    } catch (const Error &) {
        throw;
    } catch (const std::exception & e) {
        throw Error(ErrorKind::json, std::string("bad parser parameters: ") + e.what());
    }
    impl_ = std::move(impl);
}

MessageParser::~MessageParser() = default;

std::string MessageParser::parse(const std::string & text, bool is_partial) const {
    common_chat_msg message;
    if (impl_->plain) {
        message.content = text;
    } else {
        check_brackets(text);
        try {
            message = common_chat_parse(text, is_partial, impl_->params);
        } catch (const std::bad_alloc &) {
            throw;
        } catch (const std::exception & e) {
            throw Error(ErrorKind::parse, e.what());
        }
    }
    common_json calls = common_json::array();
    for (const auto & call : message.tool_calls) {
        calls.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
    }
    const common_json result = {
        {"role", "assistant"},
        {"content", message.content},
        {"reasoning_content", message.reasoning_content},
        {"tool_calls", calls},
    };
    return result.dump_safe();
}

} // namespace pyollama::chat
