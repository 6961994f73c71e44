#pragma once

#include "schema_document.h"

#include <optional>
#include <string>

namespace pyollama::chat {

// The largest count that a grammar may repeat something: above it llama.cpp's grammar parser refuses a lower bound
// and silently drops an upper one.
inline constexpr int max_repetition = 2000;

// A count such as "minItems". Throws Error(schema) when it is not a whole number from 0 to max_repetition.
std::optional<int> read_count(const common_json & schema, const char * key, const std::string & path);

// Both, with the order checked.
struct CountRange {
    std::optional<int> low;
    std::optional<int> high;
};
CountRange read_counts(const common_json & schema, const char * low, const char * high, const std::string & path);

// Reduces the bounds of an integer schema to an inclusive minimum and maximum, each of which llama.cpp can express
// (up to 15 digits; it never writes a longer number). Reports what is lost. True if the schema was changed.
bool tighten_bounds(common_json & schema, const std::string & path, SchemaDocument & document);

} // namespace pyollama::chat
