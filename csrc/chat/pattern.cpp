#include "pattern.h"

#include "char_set.h"
#include "error.h"

#include <stdexcept>
#include <vector>

namespace pyollama::chat {

namespace {

constexpr size_t   max_length = 4096;
constexpr uint32_t max_repeat = 2000;
constexpr int      max_groups = 60; // below llama.cpp's own limit of 100

struct unsupported : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] void invalid(const std::string & problem) {
    throw Error(ErrorKind::schema, problem);
}

std::vector<uint32_t> decode(const std::string & text) {
    std::vector<uint32_t> codes;
    for (size_t i = 0; i < text.size();) {
        const auto   lead = static_cast<unsigned char>(text[i]);
        const size_t more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        uint32_t     code = lead & (more == 0 ? 0x7Fu : 0x3Fu >> more);
        for (size_t k = 1; k <= more && i + k < text.size(); k++) {
            code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3Fu);
        }
        codes.push_back(code);
        i += more + 1;
    }
    return codes;
}

const CharSet digits{{'0', '9'}};
const CharSet word{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CharSet white{{0x09, 0x0D},     {0x20, 0x20},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                    {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const CharSet line_ends{{0x0A, 0x0A}, {0x0D, 0x0D}, {0x2028, 0x2029}};

class Rewriter {
  public:
    explicit Rewriter(const std::string & pattern) : in_(decode(pattern)) {}

    std::string run() {
        // Each alternative may have its own anchors; without one, anything may come before or after.
        const std::string any = CharSet{{0, CharSet::max_code}}.json_regex() + "*";
        std::string       out;
        while (true) {
            const bool at_start = accept('^');
            at_end_             = false;
            const std::string body = sequence(0);
            out += (at_start ? "" : any) + body + (at_end_ ? "" : any);
            if (!accept('|')) {
                break;
            }
            out += "|";
        }
        if (pos_ < in_.size()) {
            invalid("unbalanced parentheses");
        }
        return "^" + out + "$";
    }

  private:
    bool     done() const { return pos_ >= in_.size(); }
    uint32_t peek(size_t offset = 0) const { return pos_ + offset < in_.size() ? in_[pos_ + offset] : 0; }

    bool accept(uint32_t c) {
        if (done() || in_[pos_] != c) {
            return false;
        }
        pos_++;
        return true;
    }

    uint32_t next() {
        if (done()) {
            invalid("it ends too early");
        }
        return in_[pos_++];
    }

    std::string alternatives(int depth) {
        std::string out = sequence(depth);
        while (accept('|')) {
            out += "|" + sequence(depth);
        }
        return out;
    }

    std::string sequence(int depth) {
        std::string out;
        while (!done() && peek() != '|' && peek() != ')') {
            if (peek() == '$' && depth == 0 && (pos_ + 1 == in_.size() || peek(1) == '|')) {
                pos_++;
                at_end_ = true;
                break;
            }
            const std::string item = atom(depth);
            out += item.empty() ? skip_quantifier() : item + quantifier();
        }
        return out;
    }

    // One item that a quantifier can follow: a class or a group.
    std::string atom(int depth) {
        const uint32_t c = next();
        switch (c) {
            case '(':
                return group(depth);
            case '[':
                return one_of(char_class());
            case '.':
                return one_of(line_ends.complement());
            case '\\':
                return one_of(escape(false));
            case '^':
            case '$':
                throw unsupported("an anchor inside the pattern");
            case '*':
            case '+':
            case '?':
                invalid("nothing to repeat");
            default:
                return one_of(CharSet{{c, c}});
        }
    }

    static std::string one_of(const CharSet & set) {
        std::string regex = set.json_regex();
        if (regex.empty()) {
            throw unsupported("a character that JSON text cannot hold");
        }
        return regex;
    }

    std::string group(int depth) {
        if (depth >= max_groups) {
            throw unsupported("too many nested groups");
        }
        if (accept('?')) {
            if (accept('<') && peek() != '=' && peek() != '!') {
                while (next() != '>') {
                }
            } else if (!accept(':')) {
                throw unsupported("a lookaround or flag");
            }
        }
        const std::string body = alternatives(depth + 1);
        if (!accept(')')) {
            invalid("unbalanced parentheses");
        }
        return body.empty() ? "" : "(" + body + ")";
    }

    std::string skip_quantifier() {
        quantifier();
        return "";
    }

    std::string quantifier() {
        std::string out;
        if (accept('*') || accept('+') || accept('?')) {
            out = std::string(1, static_cast<char>(in_[pos_ - 1]));
        } else if (peek() == '{' && peek(1) >= '0' && peek(1) <= '9') {
            pos_++;
            const uint32_t low  = number();
            uint32_t       high = low;
            bool           open = false;
            if (accept(',')) {
                open = peek() == '}';
                high = open ? low : number();
            }
            if (!accept('}')) {
                invalid("a repetition that is not closed");
            }
            if (high < low) {
                invalid("a repetition with its bounds in the wrong order");
            }
            out = "{" + std::to_string(low) + "," + (open ? "" : std::to_string(high)) + "}";
        } else {
            return "";
        }
        accept('?'); // lazy: the same texts match
        if (peek() == '*' || peek() == '+' || (peek() == '{' && peek(1) >= '0' && peek(1) <= '9')) {
            invalid("nothing to repeat");
        }
        return out;
    }

    uint32_t number() {
        uint32_t value = 0;
        if (peek() < '0' || peek() > '9') {
            invalid("a repetition without a number");
        }
        while (peek() >= '0' && peek() <= '9') {
            value = value * 10 + (next() - '0');
            if (value > max_repeat) {
                invalid("a repetition above " + std::to_string(max_repeat));
            }
        }
        return value;
    }

    uint32_t hex(int count) {
        uint32_t value = 0;
        for (int i = 0; i < count; i++) {
            const uint32_t c = next();
            if (c >= '0' && c <= '9') {
                value = value * 16 + (c - '0');
            } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
                value = value * 16 + ((c | 0x20) - 'a' + 10);
            } else {
                invalid("a hexadecimal escape without its digits");
            }
        }
        return value;
    }

    CharSet escape(bool in_class) {
        const uint32_t c = next();
        switch (c) {
            case 'd': return digits;
            case 'D': return digits.complement();
            case 'w': return word;
            case 'W': return word.complement();
            case 's': return white;
            case 'S': return white.complement();
            case 't': return CharSet{{0x09, 0x09}};
            case 'n': return CharSet{{0x0A, 0x0A}};
            case 'v': return CharSet{{0x0B, 0x0B}};
            case 'f': return CharSet{{0x0C, 0x0C}};
            case 'r': return CharSet{{0x0D, 0x0D}};
            case 'x': return single(hex(2));
            case 'u': return single(hex(4));
            default: break;
        }
        if (c == 'b' && in_class) {
            return CharSet{{0x08, 0x08}};
        }
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
            throw unsupported(std::string("the escape \\") + static_cast<char>(c));
        }
        return single(c);
    }

    static CharSet single(uint32_t code) { return CharSet{{code, code}}; }

    CharSet char_class() {
        const bool negated = accept('^');
        CharSet    set;
        while (!accept(']')) {
            uint32_t low = next();
            if (low == '\\') {
                const CharSet escaped = escape(true);
                const auto    code    = escaped.only();
                if (!code) {
                    set.add(escaped);
                    continue;
                }
                low = *code;
            }
            uint32_t high = low;
            if (peek() == '-' && pos_ + 1 < in_.size() && peek(1) != ']') {
                pos_++;
                high = next();
                if (high == '\\') {
                    const auto code = escape(true).only();
                    if (!code) {
                        invalid("a range that ends in a class");
                    }
                    high = *code;
                }
                if (high < low) {
                    invalid("a range with its ends in the wrong order");
                }
            }
            set.add(low, high);
        }
        return negated ? set.complement() : set;
    }

    std::vector<uint32_t> in_;
    size_t                pos_    = 0;
    bool                  at_end_ = false;
};

} // namespace

std::optional<std::string> json_pattern(const std::string & pattern, std::string & why) {
    if (pattern.size() > max_length) {
        why = "it is too long";
        return std::nullopt;
    }
    try {
        return Rewriter(pattern).run();
    } catch (const unsupported & e) {
        why = e.what();
        return std::nullopt;
    }
}

} // namespace pyollama::chat
