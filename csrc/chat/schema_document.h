#pragma once

#include "json.h"

#include <string>
#include <vector>

namespace pyollama::chat {

[[noreturn]] void refuse_schema(const std::string & path, const std::string & problem);

// A JSON schema while it is checked and rewritten in place: finds what a $ref names, counts what was looked at,
// collects warnings. Paths are JSON pointers; the empty one is the document.
class SchemaDocument {
  public:
    explicit SchemaDocument(const common_json & schema) : root_(schema) {}

    common_json &                    root() { return root_; }
    const std::vector<std::string> & warnings() const { return warnings_; }

    // The schema that ref ("#" or "#/...") names. path: of the schema that has it. Throws Error(schema).
    common_json & resolve(const common_json & ref, const std::string & path);

    // "keyword" at path is not enforced, or another ending.
    void warn(const std::string & keyword, const std::string & path, const char * ending = "is not enforced");

    // Counts schemas and enum values; throws Error(schema) above the limit.
    void count(size_t schemas, const std::string & path);

    // Counts JSON values that are copied when schemas are merged; throws Error(schema) above the limit.
    void count_copy(const common_json & value, const std::string & path);

    void changed() { changed_ = true; }
    bool was_changed() const { return changed_; }

    // llama.cpp does not know "$ref": "#". Moves the document one level down if it is used.
    void make_root_referable();

  private:
    static constexpr size_t max_schemas = 10000;
    static constexpr size_t max_copied  = 100000;
    static constexpr size_t max_ref     = 512; // goes through std::regex, which recurses

    common_json              root_;
    std::vector<std::string> warnings_;
    size_t                   schemas_  = 0;
    size_t                   copied_   = 0;
    bool                     changed_  = false;
    bool                     root_ref_ = false;
};

} // namespace pyollama::chat
