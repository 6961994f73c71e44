// The parts of SchemaChecker for objects, arrays and strings.
#include "schema_checker.h"

#include "error.h"
#include "pattern.h"
#include "schema_merge.h"
#include "schema_numbers.h"

#include <algorithm>
#include <map>

namespace pyollama::chat {

namespace {

constexpr size_t max_name     = 512; // names go through std::regex, which recurses
constexpr size_t max_optional = 256; // the converter takes cubic time in these
constexpr size_t max_alike    = 1000; // and quadratic time in names that look alike to it
constexpr int    max_optional_items = 1990; // of an array that may be empty, for llama.cpp's grammar parser

bool is_boolean(const common_json & schema, const char * key, bool value) {
    return schema.contains(key) && schema.at(key).is_boolean() && schema.at(key).get<bool>() == value;
}

std::string escaped(const std::string & name) {
    std::string out;
    for (const char c : name) {
        out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    }
    return out;
}

// What the converter makes of a name.
std::string rule_name(const std::string & name) {
    std::string out;
    for (const char c : name) {
        const bool kept = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (kept || out.empty() || out.back() != '-') {
            out += kept ? c : '-';
        }
    }
    return out;
}

// An array of up to high items, as alternatives: empty, or not.
void split_off_empty(common_json & schema) {
    common_json filled  = schema;
    filled["minItems"]  = 1;
    common_json none    = {{"type", "array"}, {"maxItems", 0}};
    common_json choices = common_json::array();
    choices.push_back(filled);
    choices.push_back(none);
    for (const char * key : {"type", "items", "minItems", "maxItems"}) {
        schema.erase(key);
    }
    schema["anyOf"] = choices;
}

std::set<std::string> required_names(const common_json & schema) {
    std::set<std::string> names;
    if (schema.contains("required") && schema.at("required").is_array()) {
        for (const auto & name : schema.at("required")) {
            if (name.is_string()) {
                names.insert(name.get<std::string>());
            }
        }
    }
    return names;
}

// Whether the grammar will write properties that the schema does not list. Without "additionalProperties"
// llama.cpp closes an object that lists any.
bool is_open(const common_json & schema) {
    if (schema.contains("additionalProperties")) {
        return !is_boolean(schema, "additionalProperties", false);
    }
    return !schema.contains("properties");
}

} // namespace

void SchemaChecker::check_object(common_json & schema, const std::string & path, int depth) {
    if (schema.contains("properties") && !schema.at("properties").is_object()) {
        refuse_schema(path, "has \"properties\" that are not an object");
    }
    if (schema.contains("required") && !schema.at("required").is_array()) {
        document_.warn("required", path);
    }
    drop_impossible_properties(schema, path);
    list_required_properties(schema, path);
    check_properties(schema, path, depth);
    if (schema.contains("additionalProperties") && !schema.at("additionalProperties").is_boolean()) {
        check(schema["additionalProperties"], path + "/additionalProperties", depth + 1);
    }

    const size_t required = required_names(schema).size();
    const size_t listed   = schema.contains("properties") ? schema.at("properties").size() : 0;
    const bool   open     = is_open(schema);
    if (listed - std::min(listed, required) + (open ? 1 : 0) > max_optional) {
        refuse_schema(path, "has more than " + std::to_string(max_optional) + " optional properties");
    }
    const auto number = [&](const char * key) {
        return schema.contains(key) && schema.at(key).is_number() ? schema.at(key).get<double>() : -1.0;
    };
    const bool enough  = number("minProperties") <= static_cast<double>(required);
    const bool limited = !schema.contains("maxProperties") ||
                         (!open && number("maxProperties") >= static_cast<double>(listed));
    warn_of_kind(schema, path, ValueKind::object,
                 {"properties", "additionalProperties", "required", enough ? "minProperties" : "",
                  limited ? "maxProperties" : "", open ? "" : "unevaluatedProperties", open ? "" : "propertyNames"});
}

// A property whose schema is false cannot be there.
void SchemaChecker::drop_impossible_properties(common_json & schema, const std::string & path) {
    if (!schema.contains("properties")) {
        return;
    }
    std::vector<std::string> impossible;
    for (const auto & [name, property] : schema.at("properties").items()) {
        if (property.is_boolean() && !property.get<bool>()) {
            impossible.push_back(name);
        }
    }
    const auto required = required_names(schema);
    for (const std::string & name : impossible) {
        if (required.count(name) > 0) {
            refuse_schema(path, "requires the property \"" + name + "\", which it does not allow");
        }
        schema["properties"].erase(name);
        document_.changed();
        if (is_open(schema)) {
            document_.warn("properties", path + "/properties/" + escaped(name));
        }
    }
}

// llama.cpp knows as required only what is listed.
void SchemaChecker::list_required_properties(common_json & schema, const std::string & path) {
    for (const std::string & name : required_names(schema)) {
        if (schema.contains("properties") && schema.at("properties").contains(name)) {
            continue;
        }
        if (is_boolean(schema, "additionalProperties", false)) {
            refuse_schema(path, "requires the property \"" + name + "\", which it does not allow");
        }
        common_json value = common_json::object();
        if (schema.contains("additionalProperties") && schema.at("additionalProperties").is_object()) {
            value = schema.at("additionalProperties");
            document_.count_copy(value, path);
        }
        if (!schema.contains("properties")) {
            schema["properties"] = common_json::object();
            if (!schema.contains("additionalProperties")) {
                schema["additionalProperties"] = true; // it was open, and stays so
            }
        }
        schema["properties"][name] = value;
        document_.changed();
    }
}

void SchemaChecker::check_properties(common_json & schema, const std::string & path, int depth) {
    if (!schema.contains("properties")) {
        return;
    }
    std::map<std::string, size_t> alike;
    for (const auto & [name, property] : schema["properties"].items()) {
        if (name.size() > max_name) {
            refuse_schema(path, "has a property name longer than " + std::to_string(max_name) + " bytes");
        }
        if (++alike[rule_name(name)] > max_alike) {
            refuse_schema(path, "has more than " + std::to_string(max_alike) +
                                    " property names without different ASCII letters or digits");
        }
        check(property, path + "/properties/" + escaped(name), depth + 1);
    }
}

void SchemaChecker::check_array(common_json & schema, const std::string & path, int depth) {
    for (const char * key : {"prefixItems", "items"}) {
        if (schema.contains(key) && schema.at(key).is_array()) {
            check_tuple(schema, key, path, depth);
            return;
        }
    }
    schema.erase("prefixItems"); // not a list: nothing that JSON Schema knows
    if (schema.contains("items")) {
        if (is_boolean(schema, "items", false)) {
            schema["items"]    = common_json::object();
            schema["maxItems"] = 0;
            document_.changed();
        }
        check(schema["items"], path + "/items", depth + 1);
    }
    const CountRange range = read_counts(schema, "minItems", "maxItems", path);
    warn_of_kind(schema, path, ValueKind::array,
                 {"items", "minItems", "maxItems", range.high && *range.high <= 1 ? "uniqueItems" : "",
                  schema.contains("items") ? "unevaluatedItems" : "", "additionalItems", "minContains",
                  schema.contains("contains") ? "" : "maxContains"});
    const bool only_array = !schema.contains("type") || schema.at("type").is_string();
    if (range.high && *range.high > max_optional_items && range.low.value_or(0) == 0 && only_array) {
        split_off_empty(schema);
        document_.changed();
    }
}

// llama.cpp makes exactly the listed items, whatever the schema says about their number or further ones.
void SchemaChecker::check_tuple(common_json & schema, const std::string & key, const std::string & path, int depth) {
    const CountRange range = read_counts(schema, "minItems", "maxItems", path);
    const auto       size  = static_cast<int>(schema.at(key).size());
    if (range.high && *range.high < size) {
        common_json shorter = common_json::array();
        for (int i = 0; i < *range.high; i++) {
            shorter.push_back(schema.at(key)[i]);
        }
        schema[key] = shorter;
        document_.changed();
    }
    if (key == "prefixItems" && schema.contains("items")) {
        schema.erase("items"); // what would follow the listed items; llama.cpp would take it for all of them
        document_.changed();
    }
    for (size_t i = 0; i < schema.at(key).size(); i++) {
        check(schema[key][i], path + "/" + key + "/" + std::to_string(i), depth + 1);
    }
    warn_of_kind(schema, path, ValueKind::array,
                 {"items", "prefixItems", "maxItems", "additionalItems", "unevaluatedItems",
                  range.low && *range.low > size ? "" : "minItems", size <= 1 ? "uniqueItems" : "", "minContains",
                  schema.contains("contains") ? "" : "maxContains"});
}

void SchemaChecker::check_string(common_json & schema, const std::string & path) {
    read_counts(schema, "minLength", "maxLength", path);
    if (schema.contains("pattern")) {
        if (!schema.at("pattern").is_string()) {
            refuse_schema(path, "has a \"pattern\" that is not a string");
        }
        const auto pattern = schema.at("pattern").get<std::string>();
        if (patterns_.count(pattern) > 0) {
            warn_of_kind(schema, path, ValueKind::string, {"pattern"});
            return;
        }
        std::string                why;
        std::optional<std::string> rewritten;
        try {
            rewritten = json_pattern(pattern, why);
        } catch (const Error & e) {
            refuse_schema(path, "has a \"pattern\" that cannot be used, " + pattern + ": " + e.what());
        }
        document_.changed();
        if (rewritten) {
            schema["pattern"] = *rewritten;
            patterns_.insert(*rewritten);
            warn_of_kind(schema, path, ValueKind::string, {"pattern"});
            return;
        }
        document_.warn("pattern", path, ("is not enforced: " + why).c_str());
        schema.erase("pattern");
    }
    if (schema.contains("format") && is_known_format(schema.at("format"))) {
        warn_of_kind(schema, path, ValueKind::string, {"format"});
    } else {
        warn_of_kind(schema, path, ValueKind::string, {"minLength", "maxLength"});
    }
}

bool is_known_format(const common_json & format) {
    static const std::set<std::string> known = {"date",  "time",  "date-time", "uuid", "uuid1",
                                                "uuid2", "uuid3", "uuid4",     "uuid5"};
    return format.is_string() && known.count(format.get<std::string>()) > 0;
}

} // namespace pyollama::chat
