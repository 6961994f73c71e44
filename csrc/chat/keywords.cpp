#include "keywords.h"

#include <algorithm>

namespace pyollama::chat {

const std::vector<std::string> & keywords_of(ValueKind kind) {
    static const std::vector<std::string> number = {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    };
    static const std::vector<std::string> string = {"minLength", "maxLength", "pattern", "format"};
    static const std::vector<std::string> array  = {
        "items",    "prefixItems", "additionalItems", "unevaluatedItems", "contains", "minContains",
        "maxContains", "minItems",    "maxItems",        "uniqueItems",
    };
    static const std::vector<std::string> object = {
        "properties",    "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames",
        "required",      "minProperties",     "maxProperties",        "dependencies",          "dependentRequired",
        "dependentSchemas",
    };
    switch (kind) {
        case ValueKind::number: return number;
        case ValueKind::string: return string;
        case ValueKind::array: return array;
        case ValueKind::object: return object;
    }
    return object;
}

const std::vector<std::string> & general_keywords() {
    static const std::vector<std::string> keywords = {"not", "if", "$dynamicRef", "$recursiveRef"};
    return keywords;
}

bool is_vacuous(const std::string & keyword, const common_json & value) {
    const bool is_empty = (value.is_object() || value.is_array()) && value.empty();
    if (value.is_boolean()) {
        // uniqueItems and the boolean exclusiveMinimum of draft 4 restrict when true, schemas when false.
        const bool restricts_when_true = keyword == "uniqueItems" || keyword.compare(0, 9, "exclusive") == 0;
        return value.get<bool>() != restricts_when_true;
    }
    if (value.is_number()) {
        static const std::vector<std::string> minima = {"minLength", "minItems", "minProperties", "minContains"};
        return value.get<double>() == 0 && std::find(minima.begin(), minima.end(), keyword) != minima.end();
    }
    return is_empty && keyword != "not";
}

} // namespace pyollama::chat
