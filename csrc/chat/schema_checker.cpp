#include "schema_checker.h"

#include "schema_check.h"
#include "schema_merge.h"
#include "schema_numbers.h"

#include <algorithm>

namespace pyollama::chat {

namespace {

constexpr int max_depth     = 64;
constexpr int max_ref_depth = 1000; // the converter recurses through references too

std::string type_of(const common_json & schema) {
    const common_json * type = schema.contains("type") ? &schema.at("type") : nullptr;
    return type != nullptr && type->is_string() ? type->get<std::string>() : "";
}

bool has_type(const common_json & value, const std::string & type) {
    if (type == "integer") {
        return value.is_number_integer();
    }
    return (type == "null" && value.is_null()) || (type == "boolean" && value.is_boolean()) ||
           (type == "number" && value.is_number()) || (type == "string" && value.is_string()) ||
           (type == "array" && value.is_array()) || (type == "object" && value.is_object());
}

bool is_true(const common_json & schema, const char * key) {
    return schema.contains(key) && schema.at(key).is_boolean() && schema.at(key).get<bool>();
}

// Certain only: a value cannot satisfy two of them.
bool are_disjoint(const common_json & alternatives) {
    std::set<std::string> seen;
    for (const auto & alternative : alternatives) {
        if (!alternative.is_object()) {
            return false;
        }
        std::string mark;
        if (alternative.contains("const")) {
            mark = "=" + alternative.at("const").dump();
        } else {
            mark = type_of(alternative);
        }
        if (mark.empty() || mark == "number" || !seen.insert(mark).second) {
            return false;
        }
    }
    const bool all_const = std::all_of(seen.begin(), seen.end(), [](const auto & m) { return m[0] == '='; });
    const bool all_types = std::none_of(seen.begin(), seen.end(), [](const auto & m) { return m[0] == '='; });
    return all_const || all_types;
}

// What llama.cpp makes of a schema without a type.
std::string implied_type(const common_json & schema) {
    if (schema.contains("properties") ||
        (schema.contains("additionalProperties") && !is_true(schema, "additionalProperties"))) {
        return "object";
    }
    if (schema.contains("items") || schema.contains("prefixItems")) {
        return "array";
    }
    for (const char * key : {"pattern", "minLength", "maxLength"}) {
        if (schema.contains(key)) {
            return "string";
        }
    }
    return schema.contains("format") && is_known_format(schema.at("format")) ? "string" : "any";
}

bool leaves_type_open(const common_json & schema) {
    if (!schema.is_object()) {
        return false;
    }
    for (const char * key : {"type", "$ref", "allOf", "anyOf", "oneOf", "const", "enum"}) {
        if (schema.contains(key)) {
            return false;
        }
    }
    return true;
}

// A reference as a path: names cannot hold what separates them.
std::string path_of(const std::string & ref) {
    std::string path;
    for (size_t i = 1; i < ref.size(); i++) {
        path += ref[i] == '~' ? "~0" : std::string(1, ref[i]);
    }
    return path;
}

} // namespace

void SchemaChecker::run() {
    check(document_.root(), "", 0);
    // References are followed afterwards: rewriting a schema moves what lies inside it.
    for (size_t i = 0; i < refs_.size(); i++) {
        const std::string ref = refs_[i];
        const common_json name(ref);
        ref_depth_ += deepest_ref_ + 1;
        if (ref_depth_ > max_ref_depth) {
            refuse_schema("", "has too many or too deeply nested references");
        }
        deepest_ref_ = 0;
        const std::string path = path_of(ref);
        check(document_.resolve(name, path), path, 0);
    }
}

void SchemaChecker::check(common_json & schema, const std::string & path, int depth) {
    if (!visited_.insert(path).second) {
        return;
    }
    document_.count(1, path);
    if (depth >= max_depth) {
        refuse_schema(path, "is nested deeper than " + std::to_string(max_depth) + " schemas");
    }
    if (schema.is_boolean() && schema.get<bool>()) {
        schema = common_json::object();
        document_.changed();
    }
    if (!schema.is_object()) {
        refuse_schema(path, schema.is_boolean() ? "allows no value at all" : "must be an object, true or false");
    }
    merge_parts(schema, path, document_);
    warn_general(schema, path);
    if (schema.contains("$ref")) {
        add_ref(schema.at("$ref"), path, depth);
    } else if (schema.contains("oneOf") || schema.contains("anyOf")) {
        check_alternatives(schema, path, depth);
    } else if (schema.contains("const") || schema.contains("enum")) {
        check_values(schema, path);
    } else {
        check_types(schema, path, depth);
    }
}

void SchemaChecker::warn_general(const common_json & schema, const std::string & path) {
    for (const std::string & keyword : general_keywords()) {
        const bool idle = keyword == "if" && !schema.contains("then") && !schema.contains("else");
        if (schema.contains(keyword) && !idle && !is_vacuous(keyword, schema.at(keyword))) {
            document_.warn(keyword, path);
        }
    }
}

void SchemaChecker::warn_of_kind(const common_json & schema, const std::string & path, ValueKind kind,
                                 std::initializer_list<const char *> honoured) {
    for (const std::string & keyword : keywords_of(kind)) {
        const bool known = std::any_of(honoured.begin(), honoured.end(),
                                       [&](const char * name) { return keyword == name; });
        if (!known && schema.contains(keyword) && !is_vacuous(keyword, schema.at(keyword))) {
            document_.warn(keyword, path);
        }
    }
}

void SchemaChecker::warn_of_all_kinds(const common_json & schema, const std::string & path) {
    for (const ValueKind kind : {ValueKind::number, ValueKind::string, ValueKind::array, ValueKind::object}) {
        warn_of_kind(schema, path, kind);
    }
}

void SchemaChecker::add_ref(const common_json & ref, const std::string & path, int depth) {
    deepest_ref_ = std::max(deepest_ref_, depth);
    const common_json * target = &document_.resolve(ref, path);
    for (int steps = 0; target->is_object() && target->contains("$ref"); steps++) {
        if (steps > max_depth) {
            refuse_schema(path, "has a \"$ref\" that leads back to itself");
        }
        target = &document_.resolve(target->at("$ref"), path);
    }
    const auto text = ref.get<std::string>();
    if (std::find(refs_.begin(), refs_.end(), text) == refs_.end()) {
        refs_.push_back(text);
    }
}

void SchemaChecker::check_alternatives(common_json & schema, const std::string & path, int depth) {
    const std::string key = schema.contains("oneOf") ? "oneOf" : "anyOf";
    common_json &     alternatives = schema[key];
    if (!alternatives.is_array() || alternatives.empty()) {
        refuse_schema(path, "has an \"" + key + "\" that is not a list of schemas");
    }
    if (key == "oneOf") {
        if (schema.contains("anyOf")) {
            document_.warn("anyOf", path);
        }
        if (alternatives.size() > 1 && !are_disjoint(alternatives)) {
            document_.warn("oneOf", path, "is enforced like anyOf");
        }
    }
    const std::string type = type_of(schema);
    for (size_t i = 0; i < alternatives.size(); i++) {
        common_json & alternative = alternatives[i];
        if (!type.empty() && leaves_type_open(alternative)) {
            alternative["type"] = type; // llama.cpp would not look at it up here
            document_.changed();
        }
        check(alternative, path + "/" + key + "/" + std::to_string(i), depth + 1);
    }
    warn_beside_alternatives(schema, path, alternatives);
}

// llama.cpp ignores what stands beside alternatives; a "type" that all of them repeat does no harm.
void SchemaChecker::warn_beside_alternatives(const common_json & schema, const std::string & path,
                                             const common_json & alternatives) {
    warn_of_all_kinds(schema, path);
    for (const char * key : {"const", "enum"}) {
        if (schema.contains(key)) {
            document_.warn(key, path);
        }
    }
    if (schema.contains("type")) {
        const common_json type     = schema.at("type");
        bool              repeated = true;
        for (const auto & alternative : alternatives) {
            repeated = repeated && alternative.contains("type") && alternative.at("type") == type;
        }
        if (!repeated) {
            document_.warn("type", path);
        }
    }
}

void SchemaChecker::check_values(common_json & schema, const std::string & path) {
    const bool  is_const = schema.contains("const");
    common_json values   = common_json::array();
    if (is_const) {
        values.push_back(schema.at("const"));
    } else if (schema.at("enum").is_array()) {
        values = schema.at("enum");
    }
    document_.count(values.size(), path);
    common_json kept = common_json::array();
    for (const auto & value : values) {
        bool fits = !schema.contains("type");
        if (!fits) {
            const common_json & type = schema.at("type");
            for (const auto & name : type.is_array() ? type : common_json::array({type})) {
                fits = fits || (name.is_string() && has_type(value, name.get<std::string>()));
            }
        }
        if (fits) {
            kept.push_back(value);
        }
    }
    if (kept.empty()) {
        refuse_schema(path, "lists no value that its own \"type\" allows");
    }
    if (!is_const && kept.size() != values.size()) {
        schema["enum"] = kept;
        document_.changed();
    }
    warn_beside_values(schema, path, kept);
}

void SchemaChecker::warn_beside_values(const common_json & schema, const std::string & path,
                                       const common_json & values) {
    const auto any = [&](bool (common_json::*is)() const) {
        bool found = false;
        for (const auto & value : values) {
            found = found || (value.*is)();
        }
        return found;
    };
    if (any(&common_json::is_number)) {
        warn_of_kind(schema, path, ValueKind::number);
    }
    if (any(&common_json::is_string)) {
        warn_of_kind(schema, path, ValueKind::string);
    }
    if (any(&common_json::is_array)) {
        warn_of_kind(schema, path, ValueKind::array);
    }
    if (any(&common_json::is_object)) {
        warn_of_kind(schema, path, ValueKind::object);
    }
}

void SchemaChecker::check_types(common_json & schema, const std::string & path, int depth) {
    std::vector<std::string> types;
    if (schema.contains("type") && !schema.at("type").is_null()) {
        const common_json & type = schema.at("type");
        common_json         kept = common_json::array();
        for (const auto & name : type.is_array() ? type : common_json::array({type})) {
            const std::string text = name.is_string() ? name.get<std::string>() : "";
            if (text.empty()) {
                refuse_schema(path, "has a \"type\" that is not a name or a list of names");
            }
            if (std::find(types.begin(), types.end(), text) == types.end()) {
                types.push_back(text);
                kept.push_back(text);
            }
        }
        if (types.empty()) {
            refuse_schema(path, "has an empty \"type\"");
        }
        if (type.is_array() && kept.size() != type.size()) {
            schema["type"] = kept;
            document_.changed();
        }
    } else {
        types.push_back(implied_type(schema));
    }
    for (const std::string & type : types) {
        if (type == "object") {
            check_object(schema, path, depth);
        } else if (type == "array") {
            check_array(schema, path, depth);
        } else if (type == "string") {
            check_string(schema, path);
        } else if (type == "integer") {
            if (tighten_bounds(schema, path, document_)) {
                document_.changed();
            }
        } else if (type == "number") {
            warn_of_kind(schema, path, ValueKind::number);
        } else if (type == "any") {
            warn_of_all_kinds(schema, path);
        } else if (type != "boolean" && type != "null") {
            refuse_schema(path, "has the unknown \"type\" \"" + type + "\"");
        }
    }
}

PreparedSchema prepare_schema(const common_json & schema) {
    SchemaDocument document(schema);
    SchemaChecker(document).run();
    document.make_root_referable();
    return {document.root(), document.warnings(), document.was_changed()};
}

} // namespace pyollama::chat
