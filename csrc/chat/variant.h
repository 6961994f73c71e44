#pragma once

#include "request.h"

#include "chat.h"
#include "chat-auto-parser.h"

#include <string>

namespace pyollama::chat {

// One compiled template and what llama.cpp found out about the format of its answers. llama.cpp does this analysis at
// every request, with dozens of renderings; here it is done once. Needs an active Budget when made and when used.
class Variant {
  public:
    // Throws Error(template_syntax).
    Variant(const std::string & source, const std::string & bos, const std::string & eos);
    Variant(const Variant &) = delete; // the analysis points to the template
    Variant & operator=(const Variant &) = delete;

    const common_chat_template & tmpl() const { return tmpl_; }
    bool                         supports_thinking() const { return supports_thinking_; }

    // The prompt and everything that is needed to constrain and parse the answer to it.
    // Throws whatever the template or llama.cpp throws.
    common_chat_params apply(const Request & request) const;

  private:
    bool                          finds_thinking() const;
    autoparser::generation_params parameters(const Request & request) const;
    common_chat_params            generate(autoparser::generation_params parameters) const;
    common_chat_params            generate_by_analysis(const autoparser::generation_params & parameters) const;

    common_chat_template   tmpl_;
    autoparser::autoparser analysis_;
    bool                   supports_thinking_ = false;
    std::string            analysis_error_; // why there is no analysis; templates with a parser of their own need none
};

} // namespace pyollama::chat
