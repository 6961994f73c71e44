"""Templates are programs of strangers: whatever they do ends with an error, soon, in a living process."""

from __future__ import annotations

import json
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyollama.errors import TemplateError
from pyollama.native.chat import ChatTemplate

REQUEST = json.dumps({"messages": [{"role": "user", "content": "Hi"}]})

SYNTAX = {
    "unclosed expression": "{{ x",
    "unclosed block": "{% if x %}",
    "unknown statement": "{% frobnicate %}",
    "stray end": "{% endfor %}",
    "unclosed comment": "{# x",
    "unclosed text": "{{ 'x",
    "number too large": "{{ 99999999999999999999 }}",
    "nothing at all": "",
}

# Each of these ends the process, or takes all memory, in llama.cpp's engine on its own.
TOO_DEEP = {
    "brackets": "{{ " + "(" * 100_000,
    "brackets over several tags": "{{ [" * 100_000,
    "negations": "{{ " + "not " * 100_000 + "x }}",
    "minus signs": "{{ " + "-" * 100_000 + "x }}",
    "sum": "{{ 1" + "+1" * 100_000 + " }}",
    "calls": "{{ f" + "()" * 3000 + " }}",
    "members": "{{ f" + ".x" * 2000 + " }}",
    "filters": "{{ f" + "|e" * 2000 + " }}",
    "blocks": "{% if a %}" * 100_000,
    "else-ifs": "{% if a %}" + "{% elif a %}" * 100_000 + "{% endif %}",
    "set blocks": "{% set a %}" * 100_000,
    "ternaries": "{{ " + "1 if x else " * 100_000 + "2 }}",
    "source": " " * (2 << 20),
}

RUN_AWAY = {
    "a huge range": "{% for i in range(1000000000) %}{% endfor %}",
    "a huge negative range": "{% for i in range(0, -9223372036854775807, -1) %}{% endfor %}",
    "a range under another name": "{% set r = range %}{{ r(1000000000) }}",
    "endless macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "two macros": "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
    "macro through a call block": "{% macro f() %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}",
    "a huge product": "{{ 'x' * 1000000000000 }}",
    "a doubling text": "{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "a doubling list": "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
}


@pytest.mark.parametrize("source", SYNTAX.values(), ids=SYNTAX)
def test_broken_template(source):
    """Catches: a broken template that is accepted, or an exception of another type."""
    with pytest.raises(TemplateError, match="chat template"):
        ChatTemplate(source)


@pytest.mark.parametrize("source", TOO_DEEP.values(), ids=TOO_DEEP)
def test_deep_template_in_a_small_thread(source):
    """Catches: recursion of the parser, of destructors or of evaluation that overflows the stack of a thread."""
    outcome = []

    def compile_it():
        try:
            ChatTemplate(source)
        except TemplateError as e:
            outcome.append(e)

    previous = threading.stack_size(4 << 20)
    try:
        thread = threading.Thread(target=compile_it)
        thread.start()
        thread.join(60)
    finally:
        threading.stack_size(previous)
    assert len(outcome) == 1


@pytest.mark.parametrize("source", RUN_AWAY.values(), ids=RUN_AWAY)
def test_template_that_takes_too_much(source):
    """Catches: a template that can crash the process or take its memory."""
    started = time.monotonic()
    with pytest.raises(TemplateError):
        ChatTemplate(source).render(REQUEST)
    assert time.monotonic() - started < 30


def test_template_that_takes_too_long():
    """Catches: a rendering that cannot be stopped; the limit belongs to the request."""
    # Loops over the messages only, so that compiling it is quick.
    loops = "".join(f"{{% for {name} in messages %}}" for name in "abc")
    source = loops + "{{ c.content }}" + "{% endfor %}" * 3
    template = ChatTemplate(source)
    messages = [{"role": "user", "content": "x"}] * 2000
    started = time.monotonic()
    with pytest.raises(TemplateError, match="longer than 200 ms"):
        template.render(json.dumps({"messages": messages, "time_limit_ms": 200}))
    assert time.monotonic() - started < 5
    assert json.loads(template.render(REQUEST))["prompt"] == "Hi"  # the next one has a budget of its own


def test_template_that_refuses_a_conversation():
    """Catches: the template's own words getting lost on the way to the user."""
    template = ChatTemplate(
        "{% if messages[0].role != 'system' %}{{ raise_exception('begin with a system message') }}{% endif %}"
    )
    with pytest.raises(TemplateError, match="begin with a system message"):
        template.render(REQUEST)


@pytest.mark.parametrize("name", ["Kimi-K3", "Reka-Edge", "meta-llama-Llama-3.1-8B-Instruct"])
def test_long_chat_is_not_hostile(name, template_source):
    """Catches: limits so tight that a real conversation of a thousand turns hits them."""
    messages = [
        {"role": role, "content": "word " * 200} for _ in range(500) for role in ("user", "assistant")
    ]
    result = json.loads(ChatTemplate(template_source(name)).render(json.dumps({"messages": messages})))
    assert result["prompt"].count("word word") >= 1000


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "{{",
                "}}",
                "{%",
                "%}",
                "{#",
                "#}",
                "-",
                "for ",
                "x ",
                "in ",
                "if ",
                "else ",
                "endif ",
                "endfor ",
                "(",
                ")",
                "[",
                "]",
                "{",
                "}",
                "'",
                '"',
                "\\",
                "|",
                ".",
                ",",
                ":",
                "macro ",
                "endmacro ",
                "set ",
                "=",
                "messages",
                "range(9)",
                "\n",
                "1",
                "é",
            ]
        ),
        max_size=30,
    )
)
def test_any_text_is_a_template_or_an_error(parts):
    """Catches: a crash, or an exception of another type, on any input of the lexer and parser."""
    try:
        ChatTemplate("".join(parts)).render(REQUEST)
    except TemplateError:
        pass
