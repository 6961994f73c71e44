#include "schema_merge.h"

#include "keywords.h"

#include <algorithm>
#include <set>

namespace pyollama::chat {

namespace {

constexpr int max_merges = 64;

bool is_one_of(const std::string & keyword, std::initializer_list<const char *> names) {
    return std::any_of(names.begin(), names.end(), [&](const char * name) { return keyword == name; });
}

common_json both(const common_json & a, const common_json & b) {
    common_json parts = common_json::array();
    parts.push_back(a);
    parts.push_back(b);
    common_json result = common_json::object();
    result["allOf"]    = parts;
    return result;
}

common_json as_list(const common_json & value) {
    if (value.is_array()) {
        return value;
    }
    common_json list = common_json::array();
    list.push_back(value);
    return list;
}

bool contains_value(const common_json & list, const common_json & value) {
    for (const auto & item : list) {
        if (item == value) {
            return true;
        }
    }
    return false;
}

common_json intersection(const common_json & a, const common_json & b) {
    common_json result = common_json::array();
    for (const auto & item : a) {
        if (contains_value(b, item)) {
            result.push_back(item);
        }
    }
    return result;
}

common_json merged_type(const common_json & a, const common_json & b) {
    const common_json left = as_list(a), right = as_list(b);
    common_json       result = intersection(left, right);
    // An integer is a number too.
    for (const auto & [integers, numbers] : {std::pair(&left, &right), std::pair(&right, &left)}) {
        if (contains_value(*integers, "integer") && contains_value(*numbers, "number") &&
            !contains_value(result, "integer") && !contains_value(result, "number")) {
            result.push_back("integer");
        }
    }
    return result.size() == 1 ? common_json(result.front()) : result;
}

// Adds one keyword of another schema to into. False: cannot be combined with what is there.
bool merge_keyword(common_json & into, const std::string & key, const common_json & value) {
    common_json & mine = into[key];
    if (key == "properties" && mine.is_object() && value.is_object()) {
        for (const auto & [name, property] : value.items()) {
            if (!mine.contains(name)) {
                mine[name] = property;
            } else if (mine.at(name) != property) {
                mine[name] = both(mine.at(name), property);
            }
        }
        return true;
    }
    if (key == "required" && mine.is_array() && value.is_array()) {
        std::set<std::string> names;
        for (const auto & name : mine) {
            names.insert(name.is_string() ? name.get<std::string>() : "");
        }
        for (const auto & name : value) {
            if (name.is_string() && names.insert(name.get<std::string>()).second) {
                mine.push_back(name);
            }
        }
        return true;
    }
    if (key == "type") {
        mine = merged_type(mine, value);
        return true;
    }
    if (key == "enum" && mine.is_array() && value.is_array()) {
        mine = intersection(mine, value);
        return true;
    }
    if (key == "additionalProperties" && (mine.is_boolean() || value.is_boolean())) {
        const bool mine_is_open = mine.is_boolean() && mine.get<bool>();
        const bool other_closed = value.is_boolean() && !value.get<bool>();
        if (mine_is_open || other_closed) {
            mine = value;
        }
        return true;
    }
    if (is_one_of(key, {"items", "additionalProperties"}) && !mine.is_array() && !value.is_array()) {
        mine = both(mine, value);
        return true;
    }
    if (mine.is_number() && value.is_number()) {
        const double a = mine.get<double>(), b = value.get<double>();
        if (is_one_of(key, {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})) {
            mine = a < b ? value : mine;
            return true;
        }
        if (is_one_of(key, {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})) {
            mine = a > b ? value : mine;
            return true;
        }
    }
    return false;
}

void merge(common_json & into, const common_json & other, const std::string & path, SchemaDocument & document) {
    if (other.is_boolean() && other.get<bool>()) {
        return;
    }
    if (!other.is_object()) {
        refuse_schema(path, other.is_boolean() ? "allows no value at all" : "must be an object, true or false");
    }
    document.count_copy(other, path);
    for (const auto & [key, value] : other.items()) {
        if (key == "$defs" || key == "definitions") {
            continue; // references find them where they are
        }
        if (key == "allOf") {
            common_json all = into.contains(key) ? into.at(key) : common_json::array();
            all.insert(as_list(value));
            into[key] = all;
        } else if (!into.contains(key)) {
            into[key] = value;
        } else if (!is_annotation(key) && into.at(key) != value && !merge_keyword(into, key, value)) {
            document.warn(key, path);
        }
    }
    for (const char * key : {"type", "enum"}) {
        if (into.contains(key) && into.at(key).is_array() && into.at(key).empty()) {
            refuse_schema(path, std::string("combines schemas that contradict each other in \"") + key + "\"");
        }
    }
}

} // namespace

bool is_annotation(const std::string & keyword) {
    static const std::set<std::string> assertions = [] {
        std::set<std::string> all = {"$ref", "allOf", "anyOf", "oneOf", "type", "enum", "const", "then", "else"};
        all.insert(general_keywords().begin(), general_keywords().end());
        for (const ValueKind kind : {ValueKind::number, ValueKind::string, ValueKind::array, ValueKind::object}) {
            all.insert(keywords_of(kind).begin(), keywords_of(kind).end());
        }
        return all;
    }();
    return assertions.count(keyword) == 0;
}

bool has_assertion_besides(const common_json & schema, const std::string & one, const std::string & other) {
    for (const auto & [key, value] : schema.items()) {
        if (key != one && key != other && !is_annotation(key) && !is_vacuous(key, value)) {
            return true;
        }
    }
    return false;
}

void merge_parts(common_json & schema, const std::string & path, SchemaDocument & document) {
    for (int round = 0;; round++) {
        const bool has_all = schema.contains("allOf");
        const bool has_ref = schema.contains("$ref") && has_assertion_besides(schema, "$ref");
        if (!has_all && !has_ref) {
            return;
        }
        if (round >= max_merges) {
            refuse_schema(path, "combines schemas in a circle, or too many of them");
        }
        document.changed();
        if (has_all) {
            const common_json parts = schema.at("allOf");
            if (!parts.is_array() || parts.empty()) {
                refuse_schema(path, "has an \"allOf\" that is not a list of schemas");
            }
            schema.erase("allOf");
            for (const auto & part : parts) {
                // A lone reference may stay one; among others it is inlined in its place.
                const bool alone = parts.size() == 1 && !has_assertion_besides(schema, "");
                if (part.is_object() && part.contains("$ref") && !alone) {
                    const common_json target = document.resolve(part.at("$ref"), path); // may be schema itself
                    merge(schema, target, path, document);
                    common_json rest = part;
                    rest.erase("$ref");
                    merge(schema, rest, path, document);
                } else {
                    merge(schema, part, path, document);
                }
            }
        } else {
            const common_json target = document.resolve(schema.at("$ref"), path);
            schema.erase("$ref");
            merge(schema, target, path, document);
        }
    }
}

} // namespace pyollama::chat
