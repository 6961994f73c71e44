#pragma once

#include "jinja/runtime.h"

#include <string>

namespace pyollama::chat {

struct Program {
    jinja::program tree;
    std::string    source; // as the engine wants it: line ends unified, one trailing line end removed
};

// Compiles a chat template. It comes out of a model file, so it is a program of a stranger, and the template engine
// of llama.cpp has no limits: a macro that calls itself overflows the stack, range(1000000000) takes all memory,
// nested loops never end. Checks are therefore built into the syntax tree; they act on the Budget of the thread that
// runs it. The program is immutable afterwards: any number of threads may run it.
//
// Throws Error(template_syntax): not a template, larger than 1 MiB, or nested so deeply that the engine, which
// recurses, could overflow the stack.
Program compile(const std::string & source);

} // namespace pyollama::chat
