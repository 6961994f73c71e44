#pragma once

#include "error.h"

#include <memory>
#include <string>

namespace pyollama::chat {

// A chat template (Jinja), as GGUF files carry it in tokenizer.chat_template. Created whole or not at all and
// immutable: any number of threads may render with one object at the same time. llama.cpp's engine keeps nothing
// between two renderings and shares its syntax tree by const reference; its one unsafe part, localtime(), is not
// reached from here.
//
// BOS and EOS. Many templates write the BOS text themselves, many tokenizers add BOS, and a second one spoils the
// output. One rule covers all models: pass "add_bos" and "add_eos" as the vocabulary says (llama_vocab_get_add_bos,
// llama_vocab_get_add_eos), then tokenize the prompt with add_special = true and parse_special = true. With add_bos
// a BOS text at the start of the prompt is taken away, because the tokenizer will put it there; without it the text
// stays and becomes the token. The same holds for EOS at the end. The result's "starts_with_bos" tells a caller that
// tokenizes differently.
//
// Limits: a template that runs too long, recurses too deeply or makes too much text is stopped (see budget.h).
class PYOLLAMA_API ChatTemplate {
  public:
    // source: the template; "chatml" names llama.cpp's default, for models without one.
    // bos, eos: the texts of these tokens ("" if the vocabulary has none).
    // tool_use_source: a second template for requests with tools (tokenizer.chat_template.tool_use); "": none.
    // Tries the template on made-up conversations to learn what it can do, which takes some milliseconds.
    // Throws Error(template_syntax).
    explicit ChatTemplate(const std::string & source, const std::string & bos = "", const std::string & eos = "",
                          const std::string & tool_use_source = "");
    ~ChatTemplate();
    ChatTemplate(const ChatTemplate &) = delete;
    ChatTemplate & operator=(const ChatTemplate &) = delete;

    // Renders a conversation. request_json is an object; unknown keys are ignored:
    //   messages               OpenAI-style: role, content (text, or parts of type "text" or "media_marker", both with
    //                          "text"), reasoning_content, tool_calls, name or tool_name, tool_call_id
    //   tools                  OpenAI-style functions
    //   tool_choice            "auto" (default), "none", "required"
    //   parallel_tool_calls    default: whether the template can
    //   json_schema            a JSON schema for the answer (see schema.h); not together with grammar
    //   grammar                GBNF text; comes back as it is; not together with tools
    //   add_generation_prompt  default true
    //   continue_final_message true, "content" or "reasoning_content": the last message is the beginning of the answer
    //   enable_thinking        default true
    //   reasoning_format       "auto" (default): reasoning is told apart from content; "none": it stays in the content
    //   chat_template_kwargs   object of further template variables; reasoning_effort belongs here
    //   now                    unix seconds; what the template sees as the current time (local time zone)
    //   add_bos, add_eos       see above; default false
    //   plain                  true: only render, learn nothing about the answer's format; cheaper. Not with tools
    //                          or json_schema. A few templates (gpt-oss, Kimi, Ministral) lose adaptations of the
    //                          history, such as where earlier reasoning goes
    //   time_limit_ms          default 10000
    //
    // Returns an object:
    //   prompt, starts_with_bos
    //   grammar                GBNF text or ""
    //   grammar_lazy           true: the grammar applies from the first trigger on
    //   grammar_triggers       [{"type": "token"|"word"|"pattern"|"pattern_full", "value": str}]
    //   preserved_tokens       texts of special tokens that must be visible in the output for parsing
    //   additional_stops       further stop strings
    //   format, parser, generation_prompt   for MessageParser
    //   thinking_start_tag, thinking_end_tags, supports_thinking
    //   message_delimiters     [{"role", "delimiter"}]: texts with which messages start
    //   warnings               what the grammar cannot enforce, from json_schema and from the tools' parameters
    //
    // Throws Error(json) for a bad request, Error(schema), Error(render) with the template's own message when it
    // refuses a conversation.
    //
    // Example: {"messages":[{"role":"user","content":"Hi"}]} -> {"prompt":"<|im_start|>user\nHi<|im_end|>\n...",...}
    std::string render(const std::string & request_json) const;

    // What the template can do, as a JSON object of booleans: supports_tools, supports_tool_calls,
    // supports_parallel_tool_calls, supports_system_role, supports_string_content, supports_typed_content,
    // supports_object_arguments, supports_preserve_reasoning, supports_reasoning_effort, supports_thinking.
    std::string capabilities() const;

    // The source as it was given.
    const std::string & source() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<const Impl> impl_;
};

} // namespace pyollama::chat
