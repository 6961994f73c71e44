#include "schema.h"

#include "json_text.h"
#include "schema_check.h"

#include "json-schema-to-grammar.h"

namespace pyollama::chat {

const char * const json_grammar = R"gbnf(root   ::= object
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" space (member ("," space member)*)? "}"
member ::= string ":" space value space
array  ::= "[" space (item ("," space item)*)? "]"
item   ::= value space
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\""
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?
space  ::= (" " | "\n" [ \t]{0,20})?
)gbnf";

SchemaGrammar grammar_from_json_schema(const std::string & schema_json) {
    PreparedSchema prepared = prepare_schema(parse_json(schema_json, schema_limits, "JSON schema"));
    try {
        // Always GBNF: with true the converter never delegates to another grammar library.
        return {json_schema_to_grammar(prepared.schema, true), std::move(prepared.warnings)};
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception & e) {
        throw Error(ErrorKind::schema, e.what());
    }
}

} // namespace pyollama::chat
