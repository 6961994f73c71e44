"""The "pattern" of a string schema: Python's re says which strings match, the grammar must agree."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyollama.native.chat import grammar_from_json_schema

from .gbnf import Gbnf

# Patterns that mean the same in Python (with re.ASCII) and ECMA 262.
PATTERNS = [
    r"^[0-9]{3}-[A-Z]{2,4}$",
    r"^\d+\.\d*$",
    r"^\w+@\w+\.(com|org)$",
    r"abc",
    r"^a|b$",
    r"^(?:ab?)+c{0,2}$",
    r'^"[^"]*"$',
    r"^a.c$",
    r"^[^a-c\s]+?$",
    r"^\\\/\x41\u0042$",
    r"^[\d\-x]{2,}$",
    r"^()$",
    r"^(a|)b$",
    r"",
    r"^.*$",
]
WORDS = [
    "",
    "a",
    "b",
    "c",
    "ab",
    "ac",
    "abc",
    "abcc",
    "xabcx",
    "aab",
    '"',
    '""',
    '"a"',
    'a"c',
    "a\\c",
    "a\nc",
    "aéc",
    "12.",
    "12.5",
    "a@b.com",
    "a_b@c.org",
    "123-AB",
    "123-ABCDE",
    "\\/AB",
    "1-",
    "x-1",
    "é x",
    "bb",
    "漢",
]


def accepted(pattern: str) -> Gbnf:
    grammar, warnings = grammar_from_json_schema(json.dumps({"type": "string", "pattern": pattern}))
    assert warnings == []
    return Gbnf(grammar)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_agrees_with_re(pattern):
    """Catches: a quote or backslash inside a string that ends it early, and every mistake in the rewriting."""
    grammar = accepted(pattern)
    for word in WORDS:
        matches = re.search(pattern, word, re.ASCII) is not None
        assert grammar.accepts(json.dumps(word, ensure_ascii=False)) == matches, word


@pytest.mark.parametrize("pattern", PATTERNS)
def test_whatever_the_grammar_makes_is_json(pattern):
    """Catches: raw quotes, backslashes or line ends in a string."""
    grammar = accepted(pattern)
    for raw in ('"""', '"a"c"', '"a\\c"', '"a\nc"', '"""a""', '"\\"', '"'):
        try:
            json.loads(raw)
        except json.JSONDecodeError:
            assert not grammar.accepts(raw), raw


ATOMS = st.sampled_from(["a", "b", r"\d", ".", "[ab]", "[^b]", r"\.", "(a|b)", "(?:ab)", '"', r"\\"])
QUANTIFIERS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "{1,}", "*?"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(ATOMS, QUANTIFIERS), max_size=5), st.text('ab1."\\\n', max_size=6), st.booleans())
def test_random_patterns(parts, word, anchored):
    """Catches: combinations that no list of examples has."""
    pattern = "".join(atom + quantifier for atom, quantifier in parts)
    pattern = f"^{pattern}$" if anchored else pattern
    matches = re.search(pattern.replace("$", r"\Z"), word, re.ASCII) is not None
    assert accepted(pattern).accepts(json.dumps(word)) == matches


@pytest.mark.parametrize(
    "pattern", [r"^(?=a)", r"^(?!a)b$", r"^(a)\1$", r"\bword\b", r"^\p{L}$", r"^a(b$|c)$", "x" * 5000]
)
def test_what_a_grammar_cannot_say(pattern):
    """Catches: a pattern that is dropped without a word."""
    grammar, warnings = grammar_from_json_schema(json.dumps({"type": "string", "pattern": pattern}))
    assert len(warnings) == 1
    assert warnings[0].startswith('"pattern" at / is not enforced')
    assert Gbnf(grammar).accepts('"anything"')
