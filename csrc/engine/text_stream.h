#pragma once

#include "export.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pyollama {

// Turns the bytes of generated tokens into text that may be shown: whole UTF-8 characters only, and never a part of
// a stop string. A byte that can never become valid UTF-8 turns into U+FFFD, one per maximal invalid part, as the
// Unicode standard (chapter 3, "U+FFFD Substitution of Maximal Subparts") and Python's errors="replace" do.
class PYOLLAMA_API TextStream {
  public:
    // stops: non-empty UTF-8 strings. The match that is complete first wins, of those the longest, so that the
    // result does not depend on how the text is cut into tokens.
    explicit TextStream(std::vector<std::string> stops);

    // Adds bytes and returns the text that has become safe to show. After a stop string was found it returns what
    // came before it, once, and then nothing more.
    std::string push(std::string_view bytes);

    // The end of the generation: what was held back, as text.
    std::string finish();

    bool stopped() const noexcept { return stopped_; }

    // The stop string that was found, empty if none.
    const std::string & stop() const noexcept { return stop_; }

  private:
    void        decode(std::string_view bytes);
    std::string release();

    std::vector<std::string> stops_;
    std::string              partial_; // first bytes of a character that is not complete
    std::string              held_;    // decoded text that may be the beginning of a stop string
    std::string              stop_;
    bool                     stopped_ = false;
};

} // namespace pyollama
