#include "grammar_check.h"

#include "error.h"

#include "../src/llama-grammar.h" // the parser: its rules and, unlike llama_sampler_init_grammar, its messages

#include <algorithm>
#include <cstdint>
#include <exception>
#include <string_view>
#include <vector>

namespace pyollama {

namespace {

constexpr size_t   max_groups     = 200;    // parentheses inside each other: the parser recurses
constexpr uint64_t max_repeats    = 2000;   // of one item
constexpr uint64_t max_copies     = 200000; // that all repetitions write out: characters and rules
constexpr size_t   max_rule_depth = 1000;   // rules that begin with rules: the walk recurses
constexpr double   max_paths      = 10000;  // ways on from one place, all of them tried at every token

[[noreturn]] void refuse(const std::string & problem) {
    throw Error(ErrorCode::grammar, "the grammar cannot be compiled: " + problem);
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

std::string_view after_space(std::string_view text) {
    while (!text.empty()) {
        if (text[0] == '#') {
            text.remove_prefix(std::min(text.find('\n'), text.size()));
        } else if (text[0] == ' ' || text[0] == '\t' || text[0] == '\r' || text[0] == '\n') {
            text.remove_prefix(1);
        } else {
            break;
        }
    }
    return text;
}

// Looks at groups and repetitions only; whatever else is wrong, the parser says better.
class Scan {
  public:
    explicit Scan(std::string_view text) : rest_(text) {}

    void run() {
        while (!(rest_ = after_space(rest_)).empty()) {
            step();
        }
    }

  private:
    void step() {
        const char c = rest_[0];
        switch (c) {
            case '"': quoted('"'); return;
            case '[': quoted(']'); return;
            case '<': quoted('>'); return;
            case '{': repetition(); return;
            case '(':
                if (++depth_ > max_groups) {
                    refuse("more than " + std::to_string(max_groups) + " groups are inside each other");
                }
                break;
            case ')': depth_ -= depth_ > 0 ? 1 : 0; break;
            default: break;
        }
        size_ = 1;
        rest_.remove_prefix(1);
    }

    void quoted(char end) {
        size_t at = 1;
        while (at < rest_.size() && rest_[at] != end) {
            at += rest_[at] == '\\' ? 2 : 1;
        }
        size_ = at;
        rest_.remove_prefix(std::min(at + 1, rest_.size()));
    }

    uint64_t number() {
        uint64_t value = 0;
        for (; !rest_.empty() && is_digit(rest_[0]); rest_.remove_prefix(1)) {
            value = std::min<uint64_t>(value * 10 + static_cast<uint64_t>(rest_[0] - '0'), max_repeats + 1);
        }
        return value;
    }

    // {m}, {m,} or {m,n}
    void repetition() {
        const std::string shown(rest_.substr(0, std::min<size_t>(rest_.find('}'), 20)));
        rest_                = after_space(rest_.substr(1));
        const uint64_t least = number();
        uint64_t       most  = least;
        rest_                = after_space(rest_);
        if (!rest_.empty() && rest_[0] == ',') {
            rest_ = after_space(rest_.substr(1));
            most  = !rest_.empty() && is_digit(rest_[0]) ? number() : least;
        }
        if (most < least) {
            refuse("the repetition " + shown + "} asks for more than it allows");
        }
        if (most > max_repeats) {
            refuse("the repetition " + shown + "} is over the limit of " + std::to_string(max_repeats));
        }
        copies_ += most * (size_ + 1);
        if (copies_ > max_copies) {
            refuse("its repetitions write out more than " + std::to_string(max_copies) + " characters and rules");
        }
    }

    std::string_view rest_;
    size_t           depth_  = 0;
    uint64_t         size_   = 1; // of the last item
    uint64_t         copies_ = 0;
};

llama_grammar_rules parse(const std::string & text) {
    llama_grammar_parser parser;
    try {
        for (const char * at = after_space(text).data(); *at != '\0';) {
            at = parser.parse_rule(at);
        }
    } catch (const std::exception & error) {
        refuse(std::string(error.what()).substr(0, 200));
    }
    if (parser.symbol_ids.find("root") == parser.symbol_ids.end()) {
        refuse("it has no rule \"root\"");
    }
    for (const auto & [name, id] : parser.symbol_ids) {
        if (id >= parser.rules.size() || parser.rules[id].empty()) {
            refuse("the rule \"" + name.substr(0, 100) + "\" is used and not defined");
        }
    }
    return parser.rules;
}

// At every token llama.cpp follows all ways through the rules until each stands before a character. Their number
// is the product over rules that may be empty: small rules can have more ways than there is memory.
class Ways {
  public:
    explicit Ways(const llama_grammar_rules & rules) : rules_(rules), known_(rules.size()), state_(rules.size()) {}

    void check() {
        for (size_t rule = 0; rule < rules_.size(); ++rule) {
            if (of(rule, 0).all > max_paths) {
                refuse("it is ambiguous: at one place there are more than " + std::to_string(static_cast<int>(max_paths)) +
                       " ways to go on");
            }
        }
    }

  private:
    struct Count {
        double all   = 0.0; // ways to a character or to the end
        double empty = 0.0; // those to the end
    };
    enum class State : char { unknown, working, known };

    Count of(size_t rule, size_t depth) {
        if (state_[rule] == State::known) {
            return known_[rule];
        }
        if (state_[rule] == State::working) {
            refuse("a rule begins with itself (left recursion)");
        }
        if (depth > max_rule_depth) {
            refuse("more than " + std::to_string(max_rule_depth) + " rules begin with each other");
        }
        state_[rule] = State::working;
        Count total;
        Count way{0.0, 1.0};
        for (const llama_grammar_element & element : rules_[rule]) {
            if (element.type == LLAMA_GRETYPE_ALT || element.type == LLAMA_GRETYPE_END) {
                total.all += way.all + way.empty;
                total.empty += way.empty;
                way = {0.0, 1.0};
            } else if (way.empty > 0.0) { // else this element is not reached without a character
                const Count next = element.type == LLAMA_GRETYPE_RULE_REF ? of(element.value, depth + 1) : Count{1.0, 0.0};
                way.all += way.empty * (next.all - next.empty);
                way.empty *= next.empty;
            }
        }
        total.all    = std::min(total.all, 1e300);
        total.empty  = std::min(total.empty, 1e300);
        state_[rule] = State::known;
        return known_[rule] = total;
    }

    const llama_grammar_rules & rules_;
    std::vector<Count>          known_;
    std::vector<State>          state_;
};

} // namespace

void check_grammar(const std::string & text) {
    Scan(text).run();
    const llama_grammar_rules rules = parse(text);
    Ways(rules).check();
}

} // namespace pyollama
