#include "schema_document.h"

#include "error.h"

#include <algorithm>

namespace pyollama::chat {

namespace {

size_t count_values(const common_json & value) {
    size_t n = 1;
    if (value.is_object() || value.is_array()) {
        for (const auto & child : value) {
            n += count_values(child);
        }
    }
    return n;
}

void move_refs(common_json & value) {
    if (value.is_object() && value.contains("$ref") && value.at("$ref").is_string()) {
        const std::string ref = value.at("$ref").get<std::string>();
        if (ref[0] == '#') {
            value["$ref"] = "#/root" + ref.substr(1);
        }
    }
    if (value.is_object() || value.is_array()) {
        for (auto & child : value) {
            move_refs(child);
        }
    }
}

const common_json * child_of(const common_json & parent, const std::string & name) {
    if (parent.is_object() && parent.contains(name)) {
        return &parent.at(name);
    }
    if (parent.is_array() && !name.empty() && name.size() < 7 &&
        name.find_first_not_of("0123456789") == std::string::npos && std::stoul(name) < parent.size()) {
        return &parent.at(std::stoul(name));
    }
    return nullptr;
}

} // namespace

void refuse_schema(const std::string & path, const std::string & problem) {
    throw Error(ErrorKind::schema, "the JSON schema at " + (path.empty() ? "/" : path) + " " + problem);
}

common_json & SchemaDocument::resolve(const common_json & ref, const std::string & path) {
    const std::string text = ref.is_string() ? ref.get<std::string>() : "";
    if (text == "#") {
        root_ref_ = true;
        return root_;
    }
    if (text.compare(0, 2, "#/") != 0) {
        refuse_schema(path, "has a \"$ref\" that is not \"#/...\": only references into the schema itself "
                            "are followed");
    }
    if (text.size() > max_ref) {
        refuse_schema(path, "has a \"$ref\" longer than " + std::to_string(max_ref) + " bytes");
    }
    const common_json * target = &root_;
    for (size_t start = 2; start <= text.size() && target != nullptr;) {
        const size_t end = std::min(text.find('/', start), text.size());
        target           = child_of(*target, text.substr(start, end - start));
        start            = end + 1;
    }
    if (target == nullptr) {
        refuse_schema(path, "has a \"$ref\" to " + text + ", which does not exist");
    }
    return const_cast<common_json &>(*target); // part of root_, which is not const
}

void SchemaDocument::warn(const std::string & keyword, const std::string & path, const char * ending) {
    std::string warning = "\"" + keyword + "\" at " + (path.empty() ? "/" : path) + " " + ending;
    if (std::find(warnings_.begin(), warnings_.end(), warning) == warnings_.end()) {
        warnings_.push_back(std::move(warning));
    }
}

void SchemaDocument::count(size_t schemas, const std::string & path) {
    schemas_ += schemas;
    if (schemas_ > max_schemas) {
        refuse_schema(path, "makes the schema larger than " + std::to_string(max_schemas) + " nodes");
    }
}

void SchemaDocument::count_copy(const common_json & value, const std::string & path) {
    copied_ += count_values(value);
    if (copied_ > max_copied) {
        refuse_schema(path, "combines too many schemas");
    }
}

void SchemaDocument::make_root_referable() {
    if (!root_ref_) {
        return;
    }
    move_refs(root_);
    common_json outer = {{"$ref", "#/root"}};
    outer["root"]     = root_;
    root_             = outer;
    changed_          = true;
}

} // namespace pyollama::chat
