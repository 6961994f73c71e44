#pragma once

#include "jinja/lexer.h"

#include <vector>

namespace pyollama::chat {

// The engine's template parser recurses, without a limit, along brackets, blocks and operators. This bounds all
// three in its input. Throws Error(template_syntax).
void check_nesting(const std::vector<jinja::token> & tokens);

} // namespace pyollama::chat
