#include "schema_numbers.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace pyollama::chat {

namespace {

constexpr double max_bound = 1e15;

// The number of a keyword; draft 4's booleans and absent keywords have none.
std::optional<double> read_bound(const common_json & schema, const char * key, const std::string & path) {
    if (!schema.contains(key) || schema.at(key).is_boolean()) {
        return std::nullopt;
    }
    if (!schema.at(key).is_number()) {
        refuse_schema(path, std::string("has a \"") + key + "\" that is not a number");
    }
    return schema.at(key).get<double>();
}

bool is_true(const common_json & schema, const char * key) {
    return schema.contains(key) && schema.at(key).is_boolean() && schema.at(key).get<bool>();
}

} // namespace

std::optional<int> read_count(const common_json & schema, const char * key, const std::string & path) {
    if (!schema.contains(key)) {
        return std::nullopt;
    }
    const double value = schema.at(key).is_number() ? schema.at(key).get<double>() : -1.0;
    if (!(value >= 0) || value != std::floor(value)) {
        refuse_schema(path, std::string("has a \"") + key + "\" that is not a whole number from 0");
    }
    if (value > max_repetition) {
        refuse_schema(path, std::string("has a \"") + key + "\" above " + std::to_string(max_repetition));
    }
    return static_cast<int>(value);
}

CountRange read_counts(const common_json & schema, const char * low, const char * high, const std::string & path) {
    const CountRange range{read_count(schema, low, path), read_count(schema, high, path)};
    if (range.low && range.high && *range.low > *range.high) {
        refuse_schema(path, std::string("has a \"") + low + "\" above its \"" + high + "\"");
    }
    return range;
}

bool tighten_bounds(common_json & schema, const std::string & path, SchemaDocument & document) {
    const auto minimum           = read_bound(schema, "minimum", path);
    const auto maximum           = read_bound(schema, "maximum", path);
    const auto exclusive_minimum = read_bound(schema, "exclusiveMinimum", path);
    const auto exclusive_maximum = read_bound(schema, "exclusiveMaximum", path);

    double low  = -INFINITY;
    double high = INFINITY;
    if (minimum) {
        low = is_true(schema, "exclusiveMinimum") ? std::floor(*minimum) + 1 : std::ceil(*minimum);
    }
    if (maximum) {
        high = is_true(schema, "exclusiveMaximum") ? std::ceil(*maximum) - 1 : std::floor(*maximum);
    }
    if (exclusive_minimum) {
        low = std::max(low, std::floor(*exclusive_minimum) + 1);
    }
    if (exclusive_maximum) {
        high = std::min(high, std::ceil(*exclusive_maximum) - 1);
    }
    if (low > high) {
        refuse_schema(path, "allows no integer: its bounds are in the wrong order");
    }

    common_json bounded = schema;
    for (const char * key : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
        bounded.erase(key);
    }
    // Beyond max_bound a bound is either met by every number that the grammar makes, or beyond what it can say.
    if (std::abs(low) < max_bound) {
        bounded["minimum"] = static_cast<int64_t>(low);
    } else if (low > 0) {
        document.warn("minimum", path);
    }
    if (std::abs(high) < max_bound) {
        bounded["maximum"] = static_cast<int64_t>(high);
    } else if (high < 0) {
        document.warn("maximum", path);
    }
    if (schema.contains("multipleOf") && schema.at("multipleOf") != 1) {
        document.warn("multipleOf", path);
    }
    const bool changed = bounded != schema;
    schema             = bounded;
    return changed;
}

} // namespace pyollama::chat
