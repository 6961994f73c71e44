#pragma once

#include "json.h"

#include <string>
#include <vector>

namespace pyollama::chat {

// The part of JSON Schema that says something about a value of one kind.
enum class ValueKind { number, string, array, object };

// Keywords that restrict values of this kind, without those that need more than a look at one schema.
const std::vector<std::string> & keywords_of(ValueKind kind);

// Keywords that restrict values of any kind and that no grammar rule exists for.
const std::vector<std::string> & general_keywords();

// Whether the keyword restricts nothing with this value: minLength 0, uniqueItems false, additionalProperties true.
bool is_vacuous(const std::string & keyword, const common_json & value);

} // namespace pyollama::chat
