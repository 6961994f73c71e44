#pragma once

#include "schema_document.h"

#include <string>

namespace pyollama::chat {

// Whether the keyword says nothing about which values are valid.
bool is_annotation(const std::string & keyword);

// Whether schema has a keyword that restricts values, other than the ones named.
bool has_assertion_besides(const common_json & schema, const std::string & one, const std::string & other = "");

// Turns "allOf", and a "$ref" with other keywords beside it, into one schema with the keywords of all. llama.cpp
// builds an object from an allOf whatever it combines. What cannot be combined is reported to document.
// Throws Error(schema) when the parts contradict each other or the references go round in a circle.
void merge_parts(common_json & schema, const std::string & path, SchemaDocument & document);

} // namespace pyollama::chat
