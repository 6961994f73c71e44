#include "program.h"

#include "budget.h"
#include "error.h"
#include "nesting.h"

#include "jinja/lexer.h"
#include "jinja/parser.h"

#include <memory>
#include <utility>
#include <vector>

namespace pyollama::chat {

namespace {

using jinja::context;
using jinja::func_args;
using jinja::is_val;
using jinja::mk_val;
using jinja::statement_ptr;
using jinja::statements;
using jinja::value;

void step() {
    if (Budget * budget = Budget::current()) {
        budget->step();
    }
}

void charge(size_t size) {
    if (Budget * budget = Budget::current()) {
        budget->charge(size);
    }
}

// A text is a list of pieces in the engine, each with a header of its own.
constexpr size_t piece_size = sizeof(jinja::string_part);

value charged(value result) {
    if (is_val<jinja::value_string>(result)) {
        charge(result->val_str.length() + result->val_str.parts.size() * piece_size);
    } else if (is_val<jinja::value_array>(result)) {
        charge(result->as_array().size() * sizeof(value));
    }
    return result;
}

value strftime_now(const func_args & args) {
    args.ensure_vals<jinja::value_string>();
    const Budget * budget = Budget::current();
    return mk_val<jinja::value_string>(
        format_time(budget != nullptr ? budget->now() : std::time(nullptr), args.get_pos(0)->as_string().str()));
}

// The limit of jinja2's sandbox, which transformers renders with.
constexpr uint64_t max_range = 100'000;

value bounded_range(const func_args & args) {
    int64_t numbers[3] = {0, 0, 1};
    for (size_t i = 0; i < args.count() && i < 3; i++) {
        if (!is_val<jinja::value_int>(args.get_pos(i))) {
            return jinja::global_builtins().at("range")(args); // it says what is wrong
        }
        numbers[args.count() == 1 ? 1 : i] = args.get_pos(i)->as_int();
    }
    const auto [start, stop, step] = numbers;
    // Unsigned differences: the distance between two int64_t may not fit an int64_t.
    uint64_t distance = 0;
    if (step > 0 && stop > start) {
        distance = static_cast<uint64_t>(stop) - static_cast<uint64_t>(start);
    } else if (step < 0 && stop < start) {
        distance = static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
    }
    const uint64_t stride = step < 0 ? uint64_t(0) - static_cast<uint64_t>(step) : static_cast<uint64_t>(step);
    if (stride != 0 && distance / stride >= max_range) {
        throw std::runtime_error("range() of more than " + std::to_string(max_range) + " items");
    }
    charge(static_cast<size_t>(stride != 0 ? distance / stride : 0) * 256); // about the size of one number
    return jinja::global_builtins().at("range")(args);
}

// An evaluated operand, so that an operation can look at it before the engine does.
struct evaluated : jinja::expression {
    value result;
    explicit evaluated(value v) : result(std::move(v)) {}
    value execute_impl(context &) const override { return result; }
};

struct guarded_identifier : jinja::identifier {
    using identifier::identifier;

    // The engine's own copies its table of builtins at every evaluation.
    value execute_impl(context & ctx) const override {
        step();
        value found = ctx.get_val(val);
        if (!found->is_undefined()) {
            if (ctx.is_get_stats) {
                jinja::value_t::stats_t::mark_used(found);
            }
            return found;
        }
        if (val == "strftime_now") {
            return mk_val<jinja::value_func>(val, strftime_now);
        }
        if (val == "range") {
            return mk_val<jinja::value_func>(val, bounded_range);
        }
        const auto & builtins = jinja::global_builtins();
        const auto   it       = builtins.find(val);
        if (it != builtins.end()) {
            return mk_val<jinja::value_func>(val, it->second);
        }
        return mk_val<jinja::value_undefined>(val);
    }
};

struct guarded_string : jinja::string_literal {
    using string_literal::string_literal;

    value execute_impl(context & ctx) const override {
        charge(val.size());
        return string_literal::execute_impl(ctx);
    }
};

struct guarded_call : jinja::call_expression {
    using call_expression::call_expression;

    value execute_impl(context & ctx) const override {
        step();
        return charged(call_expression::execute_impl(ctx));
    }
};

struct guarded_call_block : jinja::call_statement {
    using call_statement::call_statement;

    value execute_impl(context & ctx) const override {
        step();
        return charged(call_statement::execute_impl(ctx));
    }
};

struct guarded_filter : jinja::filter_expression {
    using filter_expression::filter_expression;

    value execute_impl(context & ctx) const override {
        step();
        return charged(filter_expression::execute_impl(ctx));
    }
};

// Two corrections. param['items'] of an object without that key is the method items() in jinja2 and in llama.cpp's
// engine, which then fails on the method; templates that write it (gpt-oss) mean the key. And a member of a method
// (param.items.type, Command R) is undefined in jinja2, but an error in the engine.
struct guarded_member : jinja::member_expression {
    using member_expression::member_expression;

    value execute_impl(context & ctx) const override {
        if (computed && jinja::is_stmt<jinja::slice_expression>(property)) {
            return member_expression::execute_impl(ctx);
        }
        value         of = object->execute(ctx);
        statement_ptr what;
        if (computed) {
            value key = property->execute(ctx);
            if (is_val<jinja::value_object>(of) && is_val<jinja::value_string>(key) && !of->has_key(key)) {
                return missing(ctx, of);
            }
            what = std::make_unique<evaluated>(std::move(key));
        } else if (const auto * name = jinja::cast_stmt<jinja::identifier>(property)) {
            what = std::make_unique<jinja::identifier>(name->val);
        } else if (const auto * index = jinja::cast_stmt<jinja::integer_literal>(property)) {
            what = std::make_unique<jinja::integer_literal>(index->val);
        } else {
            throw std::runtime_error("a member must have a name or a number");
        }
        if (is_val<jinja::value_func>(of)) {
            return missing(ctx, of);
        }
        member_expression access(std::make_unique<evaluated>(std::move(of)), std::move(what), computed);
        access.pos = pos;
        return access.execute_impl(ctx);
    }

  private:
    static value missing(const context & ctx, value & of) {
        if (ctx.is_get_stats) {
            jinja::value_t::stats_t::mark_used(of);
            of->stats.ops.insert("object_access");
        }
        return mk_val<jinja::value_undefined>("object_property");
    }
};

struct guarded_binary : jinja::binary_expression {
    using binary_expression::binary_expression;

    value execute_impl(context & ctx) const override {
        if (op.value != "*") {
            return charged(binary_expression::execute_impl(ctx));
        }
        const value l = left->execute(ctx);
        const value r = right->execute(ctx);
        const value & text  = is_val<jinja::value_string>(l) ? l : r;
        const value & count = is_val<jinja::value_string>(l) ? r : l;
        if (is_val<jinja::value_string>(text) && is_val<jinja::value_int>(count) && count->as_int() > 0) {
            const auto   times  = static_cast<uint64_t>(count->as_int());
            const size_t length = text->val_str.length() + text->val_str.parts.size() * piece_size;
            if (times > (size_t(16) << 20) / length) {
                throw std::runtime_error("a text repeated " + std::to_string(times) + " times is too long");
            }
            charge(static_cast<size_t>(times) * length);
        }
        binary_expression product(op, std::make_unique<evaluated>(l), std::make_unique<evaluated>(r));
        product.pos = pos;
        return product.execute_impl(ctx);
    }
};

// First in every loop body, so that a body without any expression counts too.
struct checkpoint : jinja::statement {
    std::string type() const override { return "Noop"; }
    value execute_impl(context &) const override {
        step();
        return mk_val<jinja::value_undefined>();
    }
};

[[noreturn]] void refuse(const std::string & problem) {
    throw Error(ErrorKind::template_syntax, "the chat template " + problem);
}

constexpr size_t max_source = size_t(1) << 20;
constexpr int    max_tree   = 256;

void guard(statement_ptr & node, int depth);

void guard(statements & nodes, int depth) {
    for (statement_ptr & node : nodes) {
        guard(node, depth);
    }
}

template <typename T> T * as(const statement_ptr & node) {
    return dynamic_cast<T *>(node.get());
}

// Replaces a node by a subclass of its own type: the engine recognises nodes by dynamic_cast.
template <typename T, typename... Parts> void replace(statement_ptr & node, Parts &&... parts) {
    auto next = std::make_unique<T>(std::forward<Parts>(parts)...);
    next->pos = node->pos;
    node      = std::move(next);
}

void guard_block(statement_ptr & node, int depth) {
    if (auto * if_ = as<jinja::if_statement>(node)) {
        guard(if_->test, depth);
        guard(if_->body, depth);
        guard(if_->alternate, depth);
    } else if (auto * for_ = as<jinja::for_statement>(node)) {
        guard(for_->loopvar, depth);
        guard(for_->iterable, depth);
        guard(for_->body, depth);
        guard(for_->default_block, depth);
        auto first = std::make_unique<checkpoint>();
        first->pos = for_->pos;
        for_->body.insert(for_->body.begin(), std::move(first));
    } else if (auto * set = as<jinja::set_statement>(node)) {
        guard(set->assignee, depth);
        guard(set->val, depth);
        guard(set->body, depth);
    } else if (auto * macro = as<jinja::macro_statement>(node)) {
        guard(macro->name, depth);
        guard(macro->args, depth);
        guard(macro->body, depth);
    } else if (auto * filter = as<jinja::filter_statement>(node)) {
        guard(filter->filter, depth);
        guard(filter->body, depth);
    } else if (auto * block = as<jinja::call_statement>(node)) {
        guard(block->call, depth);
        guard(block->caller_args, depth);
        guard(block->body, depth);
        replace<guarded_call_block>(node, std::move(block->call), std::move(block->caller_args),
                                    std::move(block->body));
    }
}

void guard_operator(statement_ptr & node, int depth) {
    if (auto * binary = as<jinja::binary_expression>(node)) {
        guard(binary->left, depth);
        guard(binary->right, depth);
        replace<guarded_binary>(node, binary->op, std::move(binary->left), std::move(binary->right));
    } else if (auto * filter = as<jinja::filter_expression>(node)) {
        guard(filter->operand, depth);
        guard(filter->filter, depth);
        replace<guarded_filter>(node, std::move(filter->operand), std::move(filter->filter));
    } else if (auto * select = as<jinja::select_expression>(node)) {
        guard(select->lhs, depth);
        guard(select->test, depth);
    } else if (auto * test = as<jinja::test_expression>(node)) {
        guard(test->operand, depth);
        guard(test->test, depth);
    } else if (auto * unary = as<jinja::unary_expression>(node)) {
        guard(unary->argument, depth);
    } else if (auto * ternary = as<jinja::ternary_expression>(node)) {
        guard(ternary->condition, depth);
        guard(ternary->true_expr, depth);
        guard(ternary->false_expr, depth);
    } else {
        guard_block(node, depth);
    }
}

void guard(statement_ptr & node, int depth) {
    if (!node) {
        return;
    }
    if (++depth > max_tree) {
        refuse("is nested too deeply");
    }
    if (auto * identifier = as<jinja::identifier>(node)) {
        replace<guarded_identifier>(node, identifier->val);
    } else if (auto * string = as<jinja::string_literal>(node)) {
        replace<guarded_string>(node, string->val);
    } else if (auto * member = as<jinja::member_expression>(node)) {
        guard(member->object, depth);
        guard(member->property, depth);
        replace<guarded_member>(node, std::move(member->object), std::move(member->property), member->computed);
    } else if (auto * call = as<jinja::call_expression>(node)) {
        guard(call->callee, depth);
        guard(call->args, depth);
        replace<guarded_call>(node, std::move(call->callee), std::move(call->args));
    } else if (auto * array = as<jinja::array_literal>(node)) {
        guard(array->val, depth);
    } else if (auto * tuple = as<jinja::tuple_literal>(node)) {
        guard(tuple->val, depth);
    } else if (auto * object = as<jinja::object_literal>(node)) {
        for (auto & pair : object->val) {
            guard(pair.first, depth);
            guard(pair.second, depth);
        }
    } else if (auto * slice = as<jinja::slice_expression>(node)) {
        guard(slice->start_expr, depth);
        guard(slice->stop_expr, depth);
        guard(slice->step_expr, depth);
    } else if (auto * keyword = as<jinja::keyword_argument_expression>(node)) {
        guard(keyword->key, depth);
        guard(keyword->val, depth);
    } else if (auto * spread = as<jinja::spread_expression>(node)) {
        guard(spread->argument, depth);
    } else {
        guard_operator(node, depth);
    }
}

// The lexer does this too, but in quadratic time.
std::string with_unix_newlines(const std::string & source) {
    std::string out;
    out.reserve(source.size());
    for (size_t i = 0; i < source.size(); i++) {
        if (source[i] != '\r') {
            out += source[i];
        } else if (i + 1 >= source.size() || source[i + 1] != '\n') {
            out += '\n';
        }
    }
    return out;
}

} // namespace

Program compile(const std::string & source) {
    if (source.size() > max_source) {
        refuse("is larger than 1 MiB");
    }
    try {
        jinja::lexer        lexer;
        jinja::lexer_result tokens = lexer.tokenize(with_unix_newlines(source));
        check_nesting(tokens.tokens);
        jinja::program tree = jinja::parse_from_tokens(tokens);
        guard(tree.body, 0);
        return {std::move(tree), std::move(tokens.source)};
    } catch (const Error &) {
        throw;
    } catch (const std::exception & e) {
        refuse(std::string("cannot be parsed: ") + e.what());
    }
}

} // namespace pyollama::chat
