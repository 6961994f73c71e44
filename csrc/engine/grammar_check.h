#pragma once

#include <string>

namespace pyollama {

// Refuses a GBNF text that would take llama.cpp's parser or its walk through the rules too deep, too far or astray.
// Grammars come from whoever sends a request. Throws Error(grammar): what is wrong, in the parser's words where it
// found it.
void check_grammar(const std::string & text);

} // namespace pyollama
