#include "nesting.h"

#include "error.h"

#include <string>

namespace pyollama::chat {

namespace {

[[noreturn]] void refuse(const std::string & problem) {
    throw Error(ErrorKind::template_syntax, "the chat template " + problem);
}

constexpr size_t max_tag_tokens = 4096; // the parser and the destructors of its tree recurse along an expression
constexpr size_t max_brackets   = 64;
constexpr size_t max_chain      = 64; // of not, unary minus, else in one tag
constexpr size_t max_blocks     = 128;

// True for {% set x %}...{% endset %}, false for {% set x = 1 %}.
bool is_set_block(const std::vector<jinja::token> & tokens, size_t i) {
    using jinja::token;
    size_t brackets = 0;
    for (; i < tokens.size() && tokens[i].t != token::close_statement; i++) {
        switch (tokens[i].t) {
            case token::open_statement: // broken; going on would make this quadratic
                return true;
            case token::open_paren:
            case token::open_square_bracket:
            case token::open_curly_bracket:
                brackets++;
                break;
            case token::close_paren:
            case token::close_square_bracket:
            case token::close_curly_bracket:
                brackets--;
                break;
            case token::equals:
                if (brackets == 0) {
                    return false;
                }
                break;
            default:
                break;
        }
    }
    return true;
}

} // namespace

void check_nesting(const std::vector<jinja::token> & tokens) {
    using jinja::token;
    size_t              length = 0, brackets = 0, chain = 0, depth = 0;
    std::vector<size_t> blocks; // for every open block the depth that it added: an elif nests inside its if
    for (size_t i = 0; i < tokens.size(); i++) {
        const token & t = tokens[i];
        length++;
        switch (t.t) {
            case token::text:
            case token::comment:
            case token::open_expression:
                length = brackets = chain = 0;
                break;
            case token::open_statement: {
                length = brackets = chain = 0;
                const std::string name = i + 1 < tokens.size() ? tokens[i + 1].value : "";
                if (name == "if" || name == "for" || name == "macro" || name == "call" || name == "filter" ||
                    (name == "set" && is_set_block(tokens, i + 2))) {
                    blocks.push_back(1);
                    depth++;
                } else if (name == "elif" && !blocks.empty()) {
                    blocks.back()++;
                    depth++;
                } else if (name.compare(0, 3, "end") == 0 && name != "endgeneration" && !blocks.empty()) {
                    depth -= blocks.back();
                    blocks.pop_back();
                }
                if (depth > max_blocks) {
                    refuse("nests more than " + std::to_string(max_blocks) + " blocks");
                }
                break;
            }
            case token::open_paren:
            case token::open_square_bracket:
            case token::open_curly_bracket:
                if (++brackets > max_brackets) {
                    refuse("nests more than " + std::to_string(max_brackets) + " brackets");
                }
                break;
            case token::close_paren:
            case token::close_square_bracket:
            case token::close_curly_bracket:
                brackets -= brackets > 0 ? 1 : 0;
                break;
            case token::unary_operator:
                chain++;
                break;
            case token::identifier:
                chain += t.value == "not" || t.value == "else" ? 1 : 0;
                break;
            default:
                break;
        }
        if (length > max_tag_tokens || chain > max_chain) {
            refuse("has an expression that is too long");
        }
    }
}

} // namespace pyollama::chat
