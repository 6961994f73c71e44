#pragma once

#include "keywords.h"
#include "schema_document.h"

#include <initializer_list>
#include <set>
#include <string>
#include <vector>

namespace pyollama::chat {

// Whether llama.cpp has a rule for this "format" of a string.
bool is_known_format(const common_json & format);

// Walks a schema the way llama.cpp's converter does, so that what that ignores is known here; rewrites in place what
// can be said in its words.
class SchemaChecker {
  public:
    explicit SchemaChecker(SchemaDocument & document) : document_(document) {}

    // Throws Error(schema).
    void run();

  private:
    void check(common_json & schema, const std::string & path, int depth);
    void check_alternatives(common_json & schema, const std::string & path, int depth);
    void check_values(common_json & schema, const std::string & path);
    void check_types(common_json & schema, const std::string & path, int depth);

    void check_object(common_json & schema, const std::string & path, int depth);
    void check_properties(common_json & schema, const std::string & path, int depth);
    void check_array(common_json & schema, const std::string & path, int depth);
    void check_tuple(common_json & schema, const std::string & key, const std::string & path, int depth);
    void check_string(common_json & schema, const std::string & path);

    void add_ref(const common_json & ref, const std::string & path, int depth);
    void drop_impossible_properties(common_json & schema, const std::string & path);
    void list_required_properties(common_json & schema, const std::string & path);

    void warn_general(const common_json & schema, const std::string & path);

    // Reports keywords of a kind, except those named.
    void warn_of_kind(const common_json & schema, const std::string & path, ValueKind kind,
                      std::initializer_list<const char *> honoured = {});
    void warn_of_all_kinds(const common_json & schema, const std::string & path);
    void warn_beside_alternatives(const common_json & schema, const std::string & path,
                                  const common_json & alternatives);
    void warn_beside_values(const common_json & schema, const std::string & path, const common_json & values);

    SchemaDocument &         document_;
    std::set<std::string>    visited_;  // paths
    std::set<std::string>    patterns_; // results of json_pattern, which merging may bring here again
    std::vector<std::string> refs_;
    int                      deepest_ref_ = 0; // of the schema that is being checked
    int                      ref_depth_   = 0; // of all together
};

} // namespace pyollama::chat
