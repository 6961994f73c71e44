#pragma once

#include "error.h"

#include <string>
#include <vector>

namespace pyollama::chat {

// A grammar for any JSON object. Other than in llama.cpp's json.gbnf nothing may follow the object, so generation ends
// with it, and between two tokens there is at most a blank or a line end with a short indent: a model cannot spend its
// budget on white space. (Inside a string it still can write what it likes.)
extern PYOLLAMA_API const char * const json_grammar;

struct PYOLLAMA_API SchemaGrammar {
    std::string              grammar;  // GBNF; the start rule is root
    std::vector<std::string> warnings; // what the grammar cannot enforce: "multipleOf" at /properties/x is not enforced
};

// Converts a JSON schema into a grammar.
// schema_json: an object, or true for any value. Limits: 64 nested schemas, 10,000 schemas and enum values in all,
// repetitions (minItems, maxItems, minLength, maxLength, {m,n} in a pattern) of 2,000, 256 optional properties of
// one object, names of 512 bytes.
// Annotations (title, description, default, examples, ...) and unknown keywords are ignored. Keywords and bounds that
// cannot be enforced are listed in warnings; the grammar then accepts more than the schema.
// Throws Error(json) for what is not JSON, Error(schema) for a schema that is beyond the limits, contradicts
// itself, or cannot be converted.
//
// Example: grammar_from_json_schema("{\"type\":\"boolean\"}").grammar has the line: root ::= ("true" | "false")
PYOLLAMA_API SchemaGrammar grammar_from_json_schema(const std::string & schema_json);

} // namespace pyollama::chat
