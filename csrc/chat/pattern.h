#pragma once

#include <optional>
#include <string>

namespace pyollama::chat {

// llama.cpp turns the "pattern" of a string into a grammar, with gaps: "." and negated classes also match the quote
// that ends the JSON string, \d and \w are unknown, and an unanchored pattern is dropped with a line on stderr. This
// rewrites a pattern so that it means the same for the JSON text of the string and uses only what llama.cpp knows.
//
// Supported: literals, classes, . \d \w \s and their negations, \x \u \t \n ..., groups, alternatives, greedy and lazy
// quantifiers, ^ and $ at the ends of the pattern or of its top-level alternatives.
// Returns nothing, with the reason in why, for what a grammar cannot express (lookaround, backreferences, \b, ...).
// Throws Error(schema) for an invalid expression and for a repetition above 2,000.
//
// Example: json_pattern("^\\d{2}$", why) -> "^[0-9]{2,2}$"
std::optional<std::string> json_pattern(const std::string & pattern, std::string & why);

} // namespace pyollama::chat
