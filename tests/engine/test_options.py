"""Options: every number is checked before native code sees it, and nothing else gets through."""

from __future__ import annotations

import json
import logging
import math
import pickle
import time
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from pyollama.engine.options import (
    OPTIONS,
    SAMPLERS,
    LoadOptions,
    Options,
    OptionSpec,
    ResolvedOptions,
    SamplingOptions,
)
from pyollama.errors import InvalidRequest, OptionError

# All 32 options of the 2024 API document, with the values of its own example.
DOCUMENT_2024: dict[str, Any] = {
    "num_keep": 5,
    "seed": 42,
    "num_predict": 100,
    "top_k": 20,
    "top_p": 0.9,
    "tfs_z": 0.5,
    "typical_p": 0.7,
    "repeat_last_n": 33,
    "temperature": 0.8,
    "repeat_penalty": 1.2,
    "presence_penalty": 1.5,
    "frequency_penalty": 1.0,
    "mirostat": 1,
    "mirostat_tau": 0.8,
    "mirostat_eta": 0.6,
    "penalize_newline": True,
    "stop": ["\n", "user:"],
    "numa": False,
    "num_ctx": 1024,
    "num_batch": 2,
    "num_gqa": 1,
    "num_gpu": 1,
    "main_gpu": 0,
    "low_vram": False,
    "f16_kv": True,
    "vocab_only": False,
    "use_mmap": True,
    "use_mlock": False,
    "embedding_only": False,
    "rope_frequency_base": 1.1,
    "rope_frequency_scale": 0.8,
    "num_thread": 8,
}

DEFAULTS: dict[str, Any] = {
    "num_ctx": None,
    "num_batch": 512,
    "num_gpu": -1,
    "main_gpu": None,
    "use_mmap": None,
    "num_thread": 0,
    "num_keep": 4,
    "seed": -1,
    "num_predict": -1,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_last_n": 64,
    "temperature": 0.8,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "stop": (),
    "tfs_z": 1.0,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
    "penalize_newline": True,
    "num_gqa": 1,
    "f16_kv": True,
    "use_mlock": False,
    "numa": False,
    "low_vram": False,
    "rope_frequency_base": 0.0,
    "rope_frequency_scale": 0.0,
    "flash_attention": "auto",
    "kv_cache_type": "f16",
    "ignore_eos": False,
    "strict": False,
}

NUMBERS = [spec for spec in OPTIONS.values() if spec.kind in ("integer", "float32")]
BY_NAME = {"argvalues": list(OPTIONS.values()), "ids": list(OPTIONS)}
NUMBERS_BY_NAME = {"argvalues": NUMBERS, "ids": [spec.name for spec in NUMBERS]}


def value_of(options: ResolvedOptions, name: str) -> Any:
    return getattr(getattr(options, OPTIONS[name].group), name)


# --- the table -------------------------------------------------------------------------------------


def test_the_three_structs_and_the_table_agree() -> None:
    """Catches an option that was added in one place only."""
    groups = [field.name for cls in (LoadOptions, SamplingOptions) for field in msgspec.structs.fields(cls)]
    partial = [field.name for field in msgspec.structs.fields(Options)]
    assert groups == list(OPTIONS)
    assert partial == [*OPTIONS, "unknown"]


@pytest.mark.parametrize("spec", **BY_NAME)
def test_each_entry_of_the_table_is_whole(spec: OptionSpec) -> None:
    """Catches a default outside its own range and an entry without words for the documents."""
    assert spec.doc.endswith(".")
    if spec.default is not None:
        assert spec.check(spec.default) == spec.default
    if spec.kind in ("integer", "float32"):
        assert spec.low < spec.high or spec.name == "seed"


def test_defaults() -> None:
    """Catches a default that differs from the documented one."""
    resolved = Options().resolve()
    assert {name: value_of(resolved, name) for name in DEFAULTS} == DEFAULTS
    assert resolved == ResolvedOptions()
    assert resolved.sampling.samplers == SAMPLERS
    assert SAMPLERS[0] == "penalties" and SAMPLERS[-1] == "temperature" and len(SAMPLERS) == 10


def test_the_example_of_the_2024_document() -> None:
    """Catches an option of the document that is refused, dropped or changed."""
    options = Options.parse(json.loads(json.dumps(DOCUMENT_2024)))
    assert options.unknown == ()
    resolved = options.resolve()
    expected = DOCUMENT_2024 | {"stop": ("\n", "user:")}
    assert {name: value_of(resolved, name) for name in DOCUMENT_2024} == expected


def test_groups() -> None:
    """Catches an option that would reload the model for every request, or one that never takes effect."""
    assert Options(temperature=0, seed=1, stop=("a",), num_predict=5).resolve().load == LoadOptions()
    assert Options(num_ctx=8192, num_gpu=0).resolve().sampling == SamplingOptions()
    assert hash(Options(num_ctx=8192).resolve().load) == hash(LoadOptions(num_ctx=8192))


# --- types -----------------------------------------------------------------------------------------

WRONG: dict[str, list[Any]] = {
    "integer": ["1", True, [1], {}, 1j, b"1"],
    "float32": ["0.5", False, [0.5], {}],
    "boolean": [1, 0, "true", [], 0.0],
    "string": [1, True, ["a"], {}],
    "array": ["text", 1, {}, True],
    "logit_bias": ["text", 1, True],
    "switch": [1, "yes", [], "AUTO"],
}


@pytest.mark.parametrize("spec", **BY_NAME)
def test_wrong_type(spec: OptionSpec) -> None:
    """Catches a wrong JSON type that gets through, a Python error in its place, and another text."""
    for value in WRONG[spec.kind]:
        with pytest.raises(OptionError) as caught:
            Options.parse({spec.name: value})
        assert str(caught.value) == f'option "{spec.name}" must be of type {spec.type_text}'
        assert (caught.value.option, caught.value.value) == (spec.name, value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("num_ctx", "8", 'option "num_ctx" must be of type integer'),
        ("num_ctx", True, 'option "num_ctx" must be of type integer'),
        ("temperature", "hot", 'option "temperature" must be of type float32'),
        ("use_mmap", 1, 'option "use_mmap" must be of type boolean'),
        ("stop", "\n", 'option "stop" must be of type array'),
        ("stop", ["a", 1], 'option "stop" must be of an array of strings'),
        ("stop", ["a", None], 'option "stop" must be of an array of strings'),
        ("grammar", [], 'option "grammar" must be of type string'),
        ("logit_bias", 3, 'option "logit_bias" must be of type object'),
        ("top_p", 1.5, 'option "top_p" must be between 0 and 1, got 1.5'),
        ("mirostat", 3, 'option "mirostat" must be between 0 and 2, got 3'),
        ("repeat_penalty", 0, 'option "repeat_penalty" must be between 0.001 and 1000, got 0'),
        ("seed", math.nan, 'option "seed" must be a finite number, got nan'),
        (
            "stop",
            [""],
            'option "stop" must be at most 64 strings, each 1 to 1000 characters, got a string of 0',
        ),
    ],
)
def test_exact_texts(name: str, value: Any, text: str) -> None:
    """Catches a changed text: clients match on these."""
    with pytest.raises(OptionError) as caught:
        Options.parse({name: value})
    assert str(caught.value) == text


@pytest.mark.parametrize("spec", **NUMBERS_BY_NAME)
def test_numbers_at_and_beyond_their_limits(spec: OptionSpec) -> None:
    """Catches a limit that is off by one, and NaN, infinities and giants on their way to native code."""
    beyond: list[Any] = [math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")]
    if spec.name != "seed":
        beyond += [10**5000, -(10**5000), 1e308, Fraction(10**400)]
        beyond += (
            [spec.low - 1, spec.high + 1] if spec.kind == "integer" else [spec.low - 1e-3, spec.high * 1.1]
        )
    for value in beyond:
        with pytest.raises(OptionError) as caught:
            Options.parse({spec.name: value})
        assert f'option "{spec.name}" must be {spec.range_text}, got ' in str(caught.value)
        assert len(str(caught.value)) < 200
    if spec.name != "seed":
        for value in (spec.low, spec.high):
            checked = getattr(Options.parse({spec.name: value}), spec.name)
            assert spec.low <= checked <= spec.high
            assert checked == max(value, spec.at_least)
            assert type(checked) is (int if spec.kind == "integer" else float)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("top_k", 3.9, 3),
        ("num_keep", -3.9, -1),
        ("top_k", -0.9, 0),
        ("top_k", -1, 0),
        ("num_ctx", 1, 4),
        ("num_ctx", 3.99, 4),
        ("num_ctx", np.int64(77), 77),
        ("temperature", 1, 1.0),
        ("temperature", np.float32(0.5), 0.5),
        ("temperature", 1e-40, 0.0),
        ("top_p", -0.0, 0.0),
        ("seed", -5, -1),
        ("seed", 0, 0),
        ("seed", 2**32, 0),
        ("seed", 2**64 + 7, 7),
        ("seed", 1e20, 10**20 % 2**32),
        ("kv_cache_type", "Q8_0", "q8_0"),
        ("flash_attention", False, False),
        ("samplers", ["temp", "typ_p", "top_k"], ("temperature", "typical_p", "top_k")),
        ("samplers", [], ()),
        ("stop", ("a", "é"), ("a", "é")),
    ],
)
def test_values_that_are_brought_into_form(name: str, value: Any, expected: Any) -> None:
    """Catches rounding in place of truncation and values that the engine takes for something else."""
    checked = getattr(Options.parse({name: value}), name)
    assert checked == expected and type(checked) is type(expected)


def test_the_largest_seed_is_not_random() -> None:
    """Catches 2**32 - 1, which llama.cpp reads as "draw a random seed"."""
    assert Options(seed=2**32 - 1).seed == 2**32 - 2
    assert Options(seed=2**32 - 2).seed == 2**32 - 2


# --- lists and logit_bias --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"stop": ["x"] * 65},
        {"stop": ["x" * 1001]},
        {"stop": ["a\0b"]},
        {"stop": ["\ud800"]},
        {"grammar": "root ::= \0"},
        {"grammar": "x" * 262_145},
        {"dry_sequence_breakers": ["x" * 41]},
        {"samplers": ["top_k", "top_k"]},
        {"samplers": ["typ_p", "typical_p"]},
        {"samplers": ["top_k; drop"]},
        {"kv_cache_type": "f8"},
        {"logit_bias": {"1": True}},
        {"logit_bias": {"1": "2"}},
        {"logit_bias": {"1": math.nan}},
        {"logit_bias": {"1": math.inf}},
        {"logit_bias": {"1": 1001}},
        {"logit_bias": {"": 1}},
        {"logit_bias": {"9999999999": 1}},
        {"logit_bias": {-1: 1}},
        {"logit_bias": [[1]]},
        {"logit_bias": [[True, 1]]},
        {"logit_bias": [[None, 1]]},
        {"logit_bias": [[1.0, 1]]},
        {"logit_bias": [1, 2]},
        {"logit_bias": {str(i): 1 for i in range(4097)}},
    ],
)
def test_refused(options: dict[str, Any]) -> None:
    """Catches texts that end early in C or cannot be UTF-8, lists without a bound, and bad biases."""
    with pytest.raises(OptionError) as caught:
        Options.parse(options)
    assert caught.value.option == next(iter(options))


def test_logit_bias_forms() -> None:
    """Catches a form of llama-server's or OpenAI's that is read as something else."""
    never = -math.inf
    assert Options.parse({"logit_bias": {"15": 1, "Hello": False}}).logit_bias == (
        (15, 1.0),
        ("Hello", never),
    )
    assert Options.parse({"logit_bias": [[15, False], ["15", -2.5]]}).logit_bias == (
        (15, never),
        ("15", -2.5),
    )
    assert Options.parse({"logit_bias": {15: 2}}).logit_bias == ((15, 2.0),)
    assert Options.parse({"logit_bias": {"१५": 2}}).logit_bias == (("१५", 2.0),)
    assert Options.parse({"logit_bias": [[1, 1], [1, 2]]}).logit_bias == ((1, 2.0),)
    assert Options.parse({"logit_bias": {}}).logit_bias == ()


def test_null_and_unknown(caplog: pytest.LogCaptureFixture) -> None:
    """Catches null read as a value, an unknown name that is an error, and a log that a client can flood."""
    with caplog.at_level(logging.WARNING, logger="pyollama"):
        options = Options.parse({"top_k": None, "stop": None, "logits_all": True, "a\nb": [1], "seed": 3})
        Options.parse({f"{i:0200}": 1 for i in range(10_000)})
    assert options.top_k is UNSET and options.stop is UNSET
    assert options.unknown == ("logits_all", "a\nb")
    assert options.given() == {"seed": 3}
    assert "'logits_all', 'a\\nb'" in caplog.messages[0]
    assert len(caplog.messages) == 2 and len(caplog.messages[1]) < 4000


@pytest.mark.parametrize("given_", [[], "x", 3, [("a", 1)], {1: 2}])
def test_not_an_object(given_: Any) -> None:
    """Catches options of another JSON type that end in a Python error."""
    with pytest.raises(InvalidRequest, match="options must be an object"):
        Options.parse(given_)


# --- merge, resolve, transport ---------------------------------------------------------------------


def test_merge_takes_the_strongest() -> None:
    """Catches precedence the wrong way round, and null in a request hiding the model's value."""
    merged = Options.merge(
        {"top_k": 1, "seed": None}, {"top_k": 2, "seed": 5, "x": 1}, Options(top_k=3, num_ctx=64), None
    )
    assert merged.given() == {"top_k": 1, "seed": 5, "num_ctx": 64}
    assert merged.unknown == ("x",)
    assert Options.merge() == Options() == Options.parse(None) == Options.parse({})


def test_f16_kv_and_kv_cache_type() -> None:
    """Catches the 2024 option without effect, and it winning over the exact one."""
    assert Options(f16_kv=False).resolve().load.kv_cache_type == "f32"
    assert Options(f16_kv=False, kv_cache_type="q8_0").resolve().load.kv_cache_type == "q8_0"
    assert Options(f16_kv=True).resolve().load.kv_cache_type == "f16"


def test_no_way_around_the_check() -> None:
    """Catches a bad value by the constructor, by replace or by a message from another process."""
    with pytest.raises(OptionError):
        Options(temperature=math.nan)
    with pytest.raises(OptionError):
        SamplingOptions(dry_allowed_length=-1)
    with pytest.raises(OptionError):
        LoadOptions(num_ctx=-5)
    with pytest.raises(OptionError):
        LoadOptions(num_batch=None)  # type: ignore[arg-type]
    with pytest.raises(OptionError):
        msgspec.structs.replace(SamplingOptions(), top_p=2.0)
    with pytest.raises(AttributeError):
        SamplingOptions().top_k = -9  # type: ignore[misc]
    frame = msgspec.msgpack.encode({"sampling": {"dry_allowed_length": -1}})
    with pytest.raises(msgspec.ValidationError, match="dry_allowed_length"):
        msgspec.msgpack.decode(frame, type=ResolvedOptions)


def test_transport() -> None:
    """Catches values that change between processes, minus infinity above all."""
    options = Options.parse(DOCUMENT_2024 | {"logit_bias": {"1": False, "x": 2}, "flash_attention": True})
    resolved = options.resolve()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(resolved), type=ResolvedOptions) == resolved
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(options), type=Options) == options
    assert pickle.loads(pickle.dumps(resolved)) == resolved
    assert repr(Options(seed=1)) == "Options(seed=1)"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(OPTIONS)) | st.text(max_size=6), JSON, max_size=6))
def test_any_json(value: dict[str, Any]) -> None:
    """Catches any JSON that ends in an error of another kind, or in a number outside the table."""
    try:
        options = Options.parse(value)
    except OptionError as error:
        assert error.option in value and f'"{error.option}"' in str(error)
        return
    resolved = options.resolve()
    for spec in NUMBERS:
        number = value_of(resolved, spec.name)
        if number is not None and spec.name != "seed":
            assert spec.low <= number <= spec.high
    assert -1 <= resolved.sampling.seed <= 2**32 - 2
    assert Options.parse(options.given()).given() == options.given()


@given(st.sampled_from(NUMBERS), st.integers() | st.floats() | st.fractions())
def test_any_number(spec: OptionSpec, value: Any) -> None:
    """Catches a number that gets out of its range on some path through the checks."""
    try:
        checked = spec.check(value)
    except OptionError:
        assert spec.name == "seed" or not spec.low <= value <= spec.high
        return
    assert math.isfinite(checked) and type(checked) is (int if spec.kind == "integer" else float)
    assert spec.check(checked) == checked


def test_parsing_is_quick() -> None:
    """Catches a check that costs more than the request that carries it: big input, small answer."""
    start = time.perf_counter()
    for value in ({"stop": ["x"] * 1_000_000}, {"seed": -(10**4000)}, {"num_ctx": 1 << 4_000_000}):
        try:
            Options.parse(value)
        except OptionError as error:
            assert len(str(error)) < 200
    for _ in range(200):
        Options.merge(DOCUMENT_2024, {"top_k": 3}).resolve()
    assert time.perf_counter() - start < 1.0
