#pragma once

#include "json.h"

#include <string>
#include <vector>

namespace pyollama::chat {

// A schema that llama.cpp's converter takes without surprises, and what it will not enforce.
struct PreparedSchema {
    common_json              schema;
    std::vector<std::string> warnings;
    bool                     changed = false; // schema differs from what was given
};

// Checks a schema against the limits of schema.h and rewrites what the converter does not know but could:
// true and false as schemas, "$ref": "#", allOf of one schema, both kinds of a lower or upper bound, patterns.
// Throws Error(schema).
PreparedSchema prepare_schema(const common_json & schema);

} // namespace pyollama::chat
