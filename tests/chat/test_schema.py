"""JSON schemas as grammars: what is accepted, what is refused, what is reported."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from pyollama.errors import GrammarError, InvalidRequest
from pyollama.native.chat import JSON_GRAMMAR, grammar_from_json_schema

from .gbnf import Gbnf


def convert(schema: Any) -> tuple[Gbnf, list[str]]:
    grammar, warnings = grammar_from_json_schema(json.dumps(schema))
    return Gbnf(grammar), warnings


PERSON = {
    "title": "Person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "x", "default": "y"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 2},
    },
    "required": ["name", "age"],
}
TREE = {
    "type": "object",
    "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    "required": ["v", "next"],
}
DEFS = {"$ref": "#/$defs/c", "$defs": {"c": {"enum": ["red", "blue"]}}}
MERGED = {
    "allOf": [
        {"$ref": "#/$defs/base"},
        {"type": "object", "properties": {"b": {"type": "number"}, "a": {"maxLength": 1}}, "required": ["b"]},
    ],
    "$defs": {
        "base": {"type": "object", "properties": {"a": {"type": "string"}, "o": True}, "required": ["a"]}
    },
}

# name: schema, documents that its grammar must accept, documents that it must not.
CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "person": (
        PERSON,
        [{"name": 'é"\n', "age": 0}, {"name": "", "age": 150, "tags": ["abc", ""]}],
        [
            {"name": "x"},
            {"name": "x", "age": 151},
            {"name": "x", "age": -1},
            {"name": 1, "age": 1},
            {"name": "x", "age": 1, "tags": []},
            {"name": "x", "age": 1, "tags": ["abcd"]},
            [],
            "x",
        ],
    ),
    "anything": (True, [1, None, "x", {"a": [1.5, -2e9]}, []], []),
    "empty": ({}, [1, None, {"a": []}], []),
    "recursive": (TREE, [{"v": 1, "next": {"v": 2, "next": None}}], [{"v": 1}, {"v": 1, "next": 1}]),
    "definitions": (DEFS, ["red", "blue"], ["green", 1, None]),
    "merged": (
        MERGED,
        [{"a": "x", "b": 1.5}, {"a": "x", "b": 1, "o": []}],
        [{"a": "xx", "b": 1}, {"a": "x"}, {}],
    ),
    "one allOf": ({"allOf": [{"type": "string"}], "description": "x"}, ["x"], [{}, 1]),
    "allOf of itself": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"type": "object"}]}}},
        [{}],
        [1],
    ),
    "narrowed": ({"allOf": [{"type": "string"}, {"enum": ["a", "b", 1]}]}, ["a", "b"], [1, {}, "c"]),
    "nullable": ({"type": ["string", "null"]}, ["x", None], [1, {}]),
    "reference with more": (
        {
            "properties": {"x": {"$ref": "#/$defs/s", "maxLength": 1}},
            "required": ["x"],
            "$defs": {"s": {"type": "string"}},
        },
        [{"x": "a"}],
        [{"x": "ab"}, {"x": 1}],
    ),
    "both bounds": (
        {"type": "integer", "minimum": 1, "exclusiveMinimum": 3.5, "exclusiveMaximum": 6},
        [4, 5],
        [3, 6],
    ),
    "draft 4": ({"type": "integer", "minimum": 3, "exclusiveMinimum": True, "maximum": 5}, [4, 5], [3, 6]),
    "negative": ({"type": "integer", "minimum": -17, "maximum": -3}, [-17, -3, -9], [-18, -2, 0, 5]),
    "const": ({"const": {"a": "é"}}, [], [{}, "a"]),
    "listed as required only": (
        {"type": "object", "required": ["x"]},
        [{"x": 1}, {"x": 1, "y": 2}],
        [{}, {"y": 1}],
    ),
    "forbidden property": (
        {"properties": {"a": {"type": "null"}, "b": False}},
        [{}, {"a": None}],
        [{"b": 1}],
    ),
    "more properties": (
        {
            "type": "object",
            "properties": {"a": {"type": "null"}},
            "additionalProperties": {"type": "integer"},
        },
        [{}, {"a": None, "b": 1}, {"aa": 2}],
        [{"a": 1}, {"b": "x"}],
    ),
    "tuple": (
        {"type": "array", "prefixItems": [{"type": "null"}, True], "items": False},
        [[None, 1]],
        [[None], [1, 1]],
    ),
    "short tuple": (
        {"prefixItems": [{"type": "null"}, True], "type": "array", "maxItems": 1},
        [[None]],
        [[None, 1], []],
    ),
    "no items": ({"type": "array", "items": False}, [[]], [[1]]),
    "type beside alternatives": (
        {"type": "string", "anyOf": [{"maxLength": 1}, {"minLength": 3}]},
        ["", "a", "abc"],
        ["ab", 1],
    ),
    "date": ({"type": "string", "format": "date"}, ["2024-02-29"], ["2024-13-01", "x"]),
    "long array": ({"type": "array", "items": {"type": "null"}, "maxItems": 2000}, [[], [None] * 3], [[1]]),
}


@pytest.mark.parametrize(("schema", "good", "bad"), CASES.values(), ids=CASES)
def test_grammar(schema, good, bad):
    """Catches: a grammar that is wider or narrower than its schema without saying so."""
    grammar, warnings = convert(schema)
    assert warnings == []
    for document in good:
        assert grammar.accepts(json.dumps(document, ensure_ascii=False)), document
    for document in bad:
        assert not grammar.accepts(json.dumps(document, ensure_ascii=False)), document


WARNINGS: dict[str, tuple[Any, list[str]]] = {
    "number": ({"type": "number", "minimum": 0, "multipleOf": 0.5}, ['"minimum" at /', '"multipleOf" at /']),
    "integer": ({"type": "integer", "multipleOf": 3}, ['"multipleOf" at /']),
    "string": ({"type": "string", "format": "email", "minLength": 3}, ['"format" at /']),
    "pattern and length": ({"type": "string", "pattern": "^a+$", "maxLength": 3}, ['"maxLength" at /']),
    "lookahead": ({"type": "string", "pattern": "^(?=a)b$"}, ['"pattern" at /']),
    "array": ({"type": "array", "uniqueItems": True, "contains": {}}, ['"uniqueItems" at /']),
    "object": (
        {
            "type": "object",
            "properties": {"a/b": {"not": {"type": "null"}}},
            "minProperties": 1,
            "propertyNames": {"maxLength": 3},
        },
        ['"minProperties" at /', '"not" at /properties/a~1b'],
    ),
    "open object": (
        {"type": "object", "patternProperties": {"^x": {"type": "null"}}},
        ['"patternProperties" at /'],
    ),
    "conditional": (
        {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}},
        ['"if" at /'],
    ),
    "one of": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, ['"oneOf" at / is enforced like anyOf']),
    "beside alternatives": (
        {"anyOf": [{"type": "string"}, {"type": "null"}], "maxLength": 3},
        ['"maxLength" at /'],
    ),
    "beside values": ({"enum": ["a", "bb"], "maxLength": 1}, ['"maxLength" at /']),
    "in a definition": (
        {
            "$ref": "#/$defs/n",
            "$defs": {"n": {"type": "number", "maximum": 1}, "unused": {"type": "number", "maximum": 1}},
        },
        ['"maximum" at /$defs/n'],
    ),
}


@pytest.mark.parametrize(("schema", "wanted"), WARNINGS.values(), ids=WARNINGS)
def test_warnings(schema, wanted):
    """Catches: a keyword that the grammar ignores silently."""
    _, warnings = convert(schema)
    assert len(warnings) == len(wanted)
    for warning, start in zip(sorted(warnings), sorted(wanted), strict=True):
        assert warning.startswith(start)


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "string",
            "minLength": 0,
            "title": "x",
            "$comment": "x",
            "examples": [1],
            "deprecated": True,
            "x-mine": 1,
        },
        {"type": "array", "uniqueItems": False, "minItems": 0, "items": True},
        {"type": "object", "minProperties": 0, "additionalProperties": True},
        {"type": "string", "minimum": 5, "properties": {"a": True}, "uniqueItems": True},
        {"oneOf": [{"type": "string"}, {"type": "null"}]},
        {"oneOf": [{"const": 1}, {"const": 2}]},
        {"type": "integer", "multipleOf": 1},
        {"type": "array", "maxItems": 1, "uniqueItems": True},
    ],
)
def test_no_needless_warnings(schema):
    """Catches: strict requests that fail over annotations, or over bounds that are met anyway."""
    assert convert(schema)[1] == []


def chain(links: int, nesting: int) -> dict[str, Any]:
    """Definitions that refer to each other one after the other."""
    definitions: dict[str, Any] = {f"d{links}": {"type": "null"}}
    for i in range(links):
        schema: dict[str, Any] = {"$ref": f"#/$defs/d{i + 1}"}
        for _ in range(nesting):
            schema = {"type": "array", "items": schema}
        definitions[f"d{i}"] = schema
    return {"$ref": "#/$defs/d0", "$defs": definitions}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth - 1):
        schema = {"type": "array", "items": schema}
    return schema


REFUSED: dict[str, Any] = {
    "depth": nested(65),
    "depth of the text": '{"enum": [' + "[" * 5000 + "]" * 5000 + "]}",
    "depth by references": chain(300, 10),
    "nodes": {"anyOf": [{"type": "null"}] * 10_001},
    "values": {"enum": list(range(10_001))},
    "nodes by merging": {
        "allOf": [{"$ref": "#/$defs/a", "title": "x"}] * 64,
        "$defs": {"a": {"type": "object", "properties": {f"p{i}": {"enum": [1, 2]} for i in range(900)}}},
    },
    "size": '{"description": "' + "x" * (2 << 20) + '"}',
    "minItems": {"type": "array", "minItems": 2001},
    "maxItems": {"type": "array", "maxItems": 2001},
    "maxLength": {"type": "string", "maxLength": 10**30},
    "pattern repetition": {"type": "string", "pattern": "^a{2001}$"},
    "optional properties": {"type": "object", "properties": {f"p{i}": {} for i in range(300)}},
    "long name": {"type": "object", "properties": {"x" * 1000: {}}},
    "names that look alike": {
        "type": "object",
        "properties": {chr(0x4E00 + i): {} for i in range(1100)},
        "required": [chr(0x4E00 + i) for i in range(1100)],
    },
    "remote": {"$ref": "https://example.com/schema.json"},
    "remote beside": {"$ref": "other.json#/a", "type": "object"},
    "missing": {"$ref": "#/$defs/none"},
    "circle": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "circle of one": {"$ref": "#"},
    "number": 5,
    "text": '"object"',
    "null": "null",
    "list": [],
    "false": False,
    "nothing but a subschema": {"type": "object", "properties": {"a": 1}},
    "type": {"type": "strng"},
    "type of type": {"type": 1},
    "empty type": {"type": []},
    "empty anyOf": {"anyOf": []},
    "empty enum": {"enum": []},
    "contradiction": {"allOf": [{"type": "string"}, {"type": "null"}]},
    "contradicting values": {"type": "string", "enum": [1, 2]},
    "required and closed": {"type": "object", "required": ["a"], "additionalProperties": False},
    "required and forbidden": {"type": "object", "properties": {"a": False}, "required": ["a"]},
    "bounds": {"type": "integer", "minimum": 2, "maximum": 1},
    "lengths": {"type": "string", "minLength": 2, "maxLength": 1},
    "fraction": {"type": "string", "minLength": 1.5},
    "pattern": {"type": "string", "pattern": "^(a"},
    "pattern type": {"type": "string", "pattern": 1},
}


@pytest.mark.parametrize("schema", REFUSED.values(), ids=REFUSED)
def test_refused(schema):
    """Catches: a schema that would exhaust native code, or whose grammar accepts nothing or the wrong thing."""
    started = time.monotonic()
    with pytest.raises(InvalidRequest):
        grammar_from_json_schema(schema if isinstance(schema, str) else json.dumps(schema))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("schema", "error"), [({"type": "x"}, GrammarError), ("{", InvalidRequest)])
def test_error_names_the_place(schema, error):
    """Catches: an error that does not say where to look."""
    wanted = r"at /" if error is GrammarError else "not valid JSON"
    with pytest.raises(error, match=wanted):
        grammar_from_json_schema(schema if isinstance(schema, str) else json.dumps(schema))


ACCEPTED = {
    "depth": nested(64),
    "references": chain(200, 3),
    "values": {"enum": list(range(9000))},
    "repetition": {"type": "string", "minLength": 2000, "maxLength": 2000},
    "optional properties": {"type": "object", "properties": {f"p{i}": {} for i in range(256)}},
    "properties": {
        "type": "object",
        "properties": {f"p{i}": {} for i in range(5000)},
        "required": [f"p{i}" for i in range(5000)],
    },
}


@pytest.mark.parametrize("schema", ACCEPTED.values(), ids=ACCEPTED)
def test_just_within_the_limits(schema):
    """Catches: a limit that hits earlier than it says, or work that grows out of proportion below it."""
    started = time.monotonic()
    assert convert(schema)[1] == []
    assert time.monotonic() - started < 10


def test_json_grammar():
    """Catches: JSON that the constant grammar forbids, and white space that it lets run away."""
    grammar = Gbnf(JSON_GRAMMAR)
    value = {"a": [1, -0.5, 1e30, True, None, 'é"\\\n\u0001'], "b": {}, "": []}
    for indent in (None, 1, 4):
        assert grammar.accepts(json.dumps(value, ensure_ascii=False, indent=indent))
        assert grammar.accepts(json.dumps(value, ensure_ascii=True, indent=indent))
    for text in (
        "{} ",
        "{}\n",
        "[]",
        "1",
        "{  }",
        '{"a":  1}',
        '{"a": 1\n\n}',
        '{"a": 01}',
        "{'a': 1}",
        '{"a": 1,}',
    ):
        assert not grammar.accepts(text), text
