#include "variant.h"

#include "budget.h"
#include "error.h"
#include "messages.h"
#include "program.h"
#include "schema_check.h"

#include "common.h"
#include "jinja/caps.h"

#include <stdexcept>

namespace pyollama::chat {

namespace {

void replace_all(std::string & text, const std::string & what, const std::string & with) {
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
        text.replace(at, what.size(), with);
    }
}

// Two checks in published templates refuse conversations that llama.cpp writes itself; it disables them too.
std::string without_known_mistakes(std::string source) {
    if (source.find("<|channel|>") != std::string::npos) {
        replace_all(source,
                    "{%- if \"<|channel|>analysis<|message|>\" in message.content or "
                    "\"<|channel|>final<|message|>\" in message.content %}",
                    "{%- if false %}");
    }
    if (source.find("[TOOL_CALLS]") != std::string::npos) {
        replace_all(source,
                    "{%- if (message['content'] is none or message['content'] == '' or "
                    "message['content']|length == 0) and (message['tool_calls'] is not defined or "
                    "message['tool_calls'] is none or message['tool_calls']|length == 0) %}",
                    "{%- if false %}");
    }
    return source;
}

std::string trimmed(const std::string & text) {
    const char * white = " \t\r\n\v\f";
    const size_t start = text.find_first_not_of(white);
    return start == std::string::npos ? "" : text.substr(start, text.find_last_not_of(white) - start + 1);
}

// The tools with their parameters prepared for conversion. False: nothing had to change.
bool prepare_tools(common_json & tools) {
    bool changed = false;
    if (!tools.is_array()) {
        return false;
    }
    for (auto & tool : tools) {
        PreparedSchema prepared = prepare_schema(tool.at("function").at("parameters"));
        if (prepared.changed) {
            tool["function"]["parameters"] = prepared.schema;
            changed                        = true;
        }
    }
    return changed;
}

} // namespace

// llama.cpp's constructor would parse and run the source without limits, so it gets an empty one.
Variant::Variant(const std::string & source, const std::string & bos, const std::string & eos) : tmpl_("", bos, eos) {
    Program program = compile(without_known_mistakes(source));
    tmpl_.prog      = std::move(program.tree);
    tmpl_.src       = std::move(program.source);
    tmpl_.caps      = jinja::caps_get(tmpl_.prog);
    try {
        analysis_.analyze_template(tmpl_);
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception & e) {
        analysis_error_ = e.what();
    }
    supports_thinking_ = finds_thinking();
    const Budget * budget = Budget::current();
    if (budget != nullptr && !budget->failure().empty()) {
        throw Error(ErrorKind::template_syntax, "the chat template cannot be used: " + budget->failure());
    }
}

// Templates with a parser of their own say it only when they render something.
bool Variant::finds_thinking() const {
    Request         request;
    common_chat_msg message;
    message.role      = "user";
    message.content   = "test";
    request.messages  = {message};
    request.variables = common_json::object();
    try {
        return apply(request).supports_thinking;
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception &) {
        return false; // a template may refuse this conversation
    }
}

autoparser::generation_params Variant::parameters(const Request & request) const {
    autoparser::generation_params p;
    p.tools = common_chat_tools_to_json_oaicompat(request.tools);

    std::vector<common_chat_msg> messages = request.messages;
    p.continue_final_message              = request.continuation;
    p.add_generation_prompt               = request.add_generation_prompt;
    if (request.continuation != COMMON_CHAT_CONTINUATION_NONE) {
        p.add_generation_prompt = false;
        p.continue_msg          = messages.back();
        messages.pop_back();
        if (request.continuation == COMMON_CHAT_CONTINUATION_AUTO) {
            const bool only_reasoning = !p.continue_msg.reasoning_content.empty() &&
                                        p.continue_msg.content.empty() && p.continue_msg.content_parts.empty();
            p.continue_final_message =
                only_reasoning ? COMMON_CHAT_CONTINUATION_REASONING : COMMON_CHAT_CONTINUATION_CONTENT;
        }
    }
    p.messages            = adapt_messages(messages, tmpl_);
    p.tool_choice         = request.tool_choice;
    p.reasoning_format    = request.reasoning_format;
    p.enable_thinking     = request.enable_thinking;
    p.grammar             = request.grammar;
    p.json_schema         = request.json_schema;
    p.parallel_tool_calls = request.parallel_tool_calls < 0 ? tmpl_.original_caps().supports_parallel_tool_calls
                                                            : request.parallel_tool_calls == 1;
    p.add_bos             = request.add_bos;
    p.add_eos             = request.add_eos;

    p.extra_context                = common_json::object();
    // Defined in any case, as in transformers: some templates take an undefined one for true. llama.cpp sets it over
    // this where it is wanted.
    p.extra_context["add_generation_prompt"] = false;
    p.extra_context["datetime"]    = format_time(request.now, "%b %d %Y");
    p.extra_context["date_string"] = format_time(request.now, "%d %b %Y");
    for (const auto & [name, value] : request.variables.items()) {
        p.extra_context[name] = value;
    }
    return p;
}

common_chat_params Variant::apply(const Request & request) const {
    const autoparser::generation_params p = parameters(request);
    if (request.plain) {
        common_chat_params result;
        result.prompt = common_chat_template_direct_apply(tmpl_, p);
        if (p.has_continuation()) {
            result.prompt += common_chat_template_generation_prompt(tmpl_, p) + p.continue_msg.render_content();
        }
        return result;
    }
    autoparser::generation_params prepared = p;
    if (!prepare_tools(prepared.tools)) {
        return generate(p);
    }
    // The prompt shows the tools as they were given; the grammar needs them prepared. The choice of tools is not part
    // of any prompt.
    autoparser::generation_params shown = p;
    shown.tool_choice                   = COMMON_CHAT_TOOL_CHOICE_NONE;
    shown.json_schema                   = common_json();
    common_chat_params result           = generate(prepared);
    result.prompt                       = generate(shown).prompt;
    return result;
}

common_chat_params Variant::generate(autoparser::generation_params p) const {
    if (auto result = common_chat_try_specialized_template(tmpl_, tmpl_.source(), p)) {
        return *result;
    }
    return generate_by_analysis(p);
}

common_chat_params Variant::generate_by_analysis(const autoparser::generation_params & p) const {
    if (!analysis_error_.empty()) {
        throw std::runtime_error("the format of the answers could not be derived from the template: " +
                                 analysis_error_);
    }
    common_chat_params result = autoparser::peg_generator::generate_parser(tmpl_, p, analysis_);
    if (!analysis_.assistant_start.empty()) {
        result.message_delimiters.add(COMMON_CHAT_ROLE_ASSISTANT, analysis_.assistant_start);
    }
    if (!analysis_.user_start.empty()) {
        result.message_delimiters.add(COMMON_CHAT_ROLE_USER, analysis_.user_start);
    }
    result.supports_thinking = analysis_.reasoning.mode != autoparser::reasoning_mode::NONE;
    if (result.supports_thinking) {
        result.thinking_start_tag = trimmed(analysis_.reasoning.start);
        const std::string end     = trimmed(analysis_.reasoning.end);
        if (!end.empty()) {
            result.thinking_end_tags = {end};
        }
    }
    return result;
}

} // namespace pyollama::chat
