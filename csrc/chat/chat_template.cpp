#include "chat_template.h"

#include "budget.h"
#include "variant.h"

#include "log.h"

#include <ctime>
#include <utility>

namespace pyollama::chat {

namespace {

constexpr std::chrono::milliseconds compile_time{10000};

constexpr const char * chatml = "{%- for message in messages -%}"
                                "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}"
                                "{%- endfor -%}"
                                "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

// llama.cpp's common library logs through this threshold alone: below zero nothing passes, and the logger with its
// thread is never even made. Set while the library is loaded, so no other thread reads it meanwhile.
const bool silenced = [] {
    common_log_set_verbosity_thold(-1);
    return true;
}();

const char * trigger_name(common_grammar_trigger_type type) {
    switch (type) {
        case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN: return "token";
        case COMMON_GRAMMAR_TRIGGER_TYPE_WORD: return "word";
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN: return "pattern";
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL: return "pattern_full";
    }
    return "";
}

common_json to_json(const common_chat_params & params, const Request & request, const std::string & bos) {
    common_json triggers = common_json::array();
    for (const common_grammar_trigger & trigger : params.grammar_triggers) {
        triggers.push_back({{"type", trigger_name(trigger.type)}, {"value", trigger.value}});
    }
    return {
        {"prompt", params.prompt},
        {"starts_with_bos", !bos.empty() && params.prompt.compare(0, bos.size(), bos) == 0},
        {"grammar", params.grammar.empty() ? request.grammar : params.grammar},
        {"grammar_lazy", params.grammar_lazy},
        {"grammar_triggers", triggers},
        {"preserved_tokens", params.preserved_tokens},
        {"additional_stops", params.additional_stops},
        {"format", common_chat_format_name(params.format)},
        {"parser", params.parser},
        {"generation_prompt", params.generation_prompt},
        {"thinking_start_tag", params.thinking_start_tag},
        {"thinking_end_tags", params.thinking_end_tags},
        {"supports_thinking", params.supports_thinking},
        {"message_delimiters", params.message_delimiters.to_json()},
        {"warnings", request.warnings},
    };
}

// The engine puts the place into the template before its message, over several lines.
std::string first_cause(const std::string & text) {
    const size_t at = text.rfind("Error: ");
    return at == std::string::npos ? text : text.substr(at + 7);
}

} // namespace

struct ChatTemplate::Impl {
    std::string              source;
    std::unique_ptr<Variant> main;
    std::unique_ptr<Variant> tool_use; // may be empty
};

ChatTemplate::ChatTemplate(const std::string & source, const std::string & bos, const std::string & eos,
                           const std::string & tool_use_source) {
    if (source.empty()) {
        throw Error(ErrorKind::template_syntax, "the chat template is empty");
    }
    auto impl    = std::make_unique<Impl>();
    impl->source = source;
    const auto make = [&](const std::string & text) {
        Budget budget(compile_time, std::time(nullptr));
        try {
            return std::make_unique<Variant>(text, bos, eos);
        } catch (const Error &) {
            throw;
        } catch (const std::bad_alloc &) {
            throw;
        } catch (const std::exception & e) {
            throw Error(ErrorKind::template_syntax, std::string("the chat template cannot be used: ") + e.what());
        }
    };
    impl->main = make(source == "chatml" ? chatml : source);
    if (!tool_use_source.empty()) {
        impl->tool_use = make(tool_use_source);
    }
    impl_ = std::move(impl);
}

ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::render(const std::string & request_json) const {
    const Request   request = read_request(request_json);
    const Variant & variant = !request.tools.empty() && impl_->tool_use ? *impl_->tool_use : *impl_->main;
    Budget          budget(request.time_limit, request.now, request_json.size());
    std::string     problem;
    try {
        const common_chat_params params = variant.apply(request);
        if (budget.failure().empty()) {
            return to_json(params, request, variant.tmpl().bos_token()).dump_safe();
        }
    } catch (const Error &) {
        throw;
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception & e) {
        problem = first_cause(e.what());
    }
    throw Error(ErrorKind::render,
                "the chat template failed: " + (budget.failure().empty() ? problem : budget.failure()));
}

std::string ChatTemplate::capabilities() const {
    const Variant & variant = impl_->tool_use ? *impl_->tool_use : *impl_->main;
    common_json     result  = variant.tmpl().original_caps().to_map();
    result["supports_thinking"] = variant.supports_thinking();
    return result.dump();
}

const std::string & ChatTemplate::source() const noexcept {
    return impl_->source;
}

} // namespace pyollama::chat
