#pragma once

#include <stdexcept>
#include <string>

namespace pyollama {

// What went wrong, coarse enough for the Python layer to choose an exception type.
enum class ErrorCode : int {
    invalid_argument = 1, // a value that no engine could accept
    load             = 2, // the model, adapter or context could not be created
    cancelled        = 3, // the caller asked for it
    closed           = 4, // used after close
    context_full     = 5, // the prompt does not fit
    grammar          = 6, // a grammar that cannot be compiled or has no way on
    unsupported      = 7, // the model cannot do it
    decode           = 8, // llama_decode failed
    state            = 9, // a saved state that does not fit this model
};

class Error : public std::runtime_error {
  public:
    Error(ErrorCode code, const std::string & message) : std::runtime_error(message), code_(code) {}

    ErrorCode code() const noexcept { return code_; }

  private:
    ErrorCode code_;
};

} // namespace pyollama
