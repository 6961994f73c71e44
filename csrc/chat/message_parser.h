#pragma once

#include "error.h"

#include <memory>
#include <string>

namespace pyollama::chat {

// Takes the text of a model apart: content, reasoning, tool calls, as the rendering that led to it described.
// Immutable: one parser may be used from several threads.
class PYOLLAMA_API MessageParser {
  public:
    // params_json: the result of ChatTemplate::render, or an object with its keys "format", "parser" and
    // "generation_prompt"; the others do not matter. Without "parser" all text is content. Throws Error(json).
    explicit MessageParser(const std::string & params_json);
    ~MessageParser();
    MessageParser(const MessageParser &) = delete;
    MessageParser & operator=(const MessageParser &) = delete;

    // text: everything the model has generated so far (without the prompt). is_partial: more will follow, so an
    // unfinished tool call or tag at the end is not an error.
    // Returns JSON: {"role": "assistant", "content": str, "reasoning_content": str,
    //                "tool_calls": [{"id": str, "name": str, "arguments": str}]}; arguments is JSON text, unfinished
    // while is_partial. A message that was continued (continue_final_message) comes back with its old beginning.
    // Throws Error(parse) when the text does not match the format, or nests brackets deeper
    // than 500 levels.
    //
    // Example: MessageParser("{}").parse("Hi", false) -> {"role":"assistant","content":"Hi",...}
    std::string parse(const std::string & text, bool is_partial) const;

  private:
    struct Impl;
    std::unique_ptr<const Impl> impl_;
};

} // namespace pyollama::chat
