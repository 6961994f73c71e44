#pragma once

#include "json.h"

#include <cstddef>
#include <string>

namespace pyollama::chat {

// Limits that hold before the JSON library sees a text: it recurses when it writes or destroys a value, and it
// looks for a key by walking the object.
struct JsonLimits {
    size_t bytes;
    size_t depth;
    size_t members; // of one object
};

inline constexpr JsonLimits request_limits{size_t(256) << 20, 256, 10000};
inline constexpr JsonLimits schema_limits{size_t(1) << 20, 256, 10000};

// Parses text. what names it in messages ("request", "schema").
// Throws Error(json) when it is not valid JSON or beyond the limits.
common_json parse_json(const std::string & text, const JsonLimits & limits, const char * what);

} // namespace pyollama::chat
