#pragma once

#include "../engine/export.h"

#include <stdexcept>
#include <string>

namespace pyollama::chat {

// What went wrong, coarse enough for the Python layer to choose an exception type.
enum class ErrorKind : int {
    template_syntax = 1, // the template cannot be compiled
    render          = 2, // the template was compiled, but this rendering failed or exceeded a limit
    schema          = 3, // a JSON schema that cannot become a grammar
    parse           = 4, // text of the model that does not match its own format
    json            = 5, // a request that is not JSON, or not the JSON that was expected
};

// The only exception type that leaves this directory (besides std::bad_alloc).
class PYOLLAMA_API Error : public std::runtime_error {
  public:
    Error(ErrorKind kind, const std::string & message) : std::runtime_error(message), kind_(kind) {}

    ErrorKind kind() const noexcept { return kind_; }

  private:
    ErrorKind kind_;
};

} // namespace pyollama::chat
