"""LLM.generate: every argument, and that the fields of the result are true."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

import pyollama
from pyollama.engine import OPTIONS, Options
from pyollama.errors import (
    ContextLengthExceeded,
    GrammarError,
    InvalidRequest,
    OptionError,
)
from pyollama.llm import Completion

from .helpers import GREEDY, prompt_text

SKY = "Why is the sky blue?"
USER = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
INT32_MAX = 2**31 - 1


# --- the result -------------------------------------------------------------------------------------


def test_answers(llm: pyollama.LLM) -> None:
    """Catches a first command that prints something else than an answer."""
    answer = llm.generate(SKY, options=GREEDY)
    assert "scatter" in answer.text
    assert "blue light" in answer.text
    assert answer.text[-1] == "."
    assert str(answer) == answer.text


def test_fields(llm: pyollama.LLM) -> None:
    """Catches counts, tokens or a context that are not those of the answer."""
    answer = llm.generate(SKY, options={**GREEDY, "seed": 7})
    stats = answer.stats
    assert answer.done_reason == "stop"
    assert (answer.stop, answer.logprobs, answer.warnings) == ("", (), ())
    assert llm.detokenize(answer.tokens) == answer.text
    assert stats.generated_tokens == len(answer.tokens) + 1, "the token that ended it counts"
    assert answer.context[:-1] == (*llm.tokenize(USER.format(SKY)), *answer.tokens)
    assert llm.detokenize(answer.context[-1:]) == "<|im_end|>", "the next turn begins after this one"
    assert stats.prompt_tokens == len(answer.context) - len(answer.tokens) - 1
    assert 0 <= stats.cached_tokens < stats.prompt_tokens
    assert (stats.seed, stats.context_shifts) == (7, 0)
    assert 0 <= stats.queue_seconds < 60
    assert 0 < stats.prompt_seconds < 60
    assert 0 < stats.generate_seconds < 60


def test_prompt_is_not_computed_twice(llm: pyollama.LLM) -> None:
    """Catches cells of an earlier request that are thrown away; all but the last token can be used again."""
    prompt = "Tell me about the color of a very old and very wise elephant."
    first = llm.generate(prompt, options=GREEDY)
    second = llm.generate(prompt, options=GREEDY)
    assert second.stats.cached_tokens == second.stats.prompt_tokens - 1
    assert second.text == first.text


# --- options ----------------------------------------------------------------------------------------

# Two or more values of each option that are not its default, the ends of its range among them.
VALUES: dict[str, list[Any]] = {
    "num_keep": [-1, 0, 2**22],
    "seed": [-5, 0, 42, 2**32, 2**70],
    "num_predict": [1, 2],
    "top_k": [-1, 0, 1, INT32_MAX],
    "top_p": [0, 0.5, 1],
    "min_p": [0.05, 1],
    "tfs_z": [0, 0.5, 1_000],
    "typical_p": [0, 0.5],
    "top_n_sigma": [0, 1.5, 1_000],
    "xtc_probability": [0.5, 1],
    "xtc_threshold": [0, 0.3, 1],
    "temperature": [0, 1e-35, 0.5, 100],
    "dynatemp_range": [0.5, 100],
    "dynatemp_exponent": [0, 2.0, 100],
    "repeat_last_n": [-1, 0, 2**20],
    "repeat_penalty": [0.001, 1.1, 1_000],
    "presence_penalty": [-100, 1.5, 100],
    "frequency_penalty": [-100, 1.5, 100],
    "penalize_newline": [False],
    "dry_multiplier": [0.8, 100],
    "dry_base": [0, 1.1, 100],
    "dry_allowed_length": [0, 2**20],
    "dry_penalty_last_n": [-1, 0, 2**20],
    "dry_sequence_breakers": [[], ["\n", "漢"]],
    "mirostat": [1, 2],
    "mirostat_tau": [0, 1_000],
    "mirostat_eta": [0, 100],
    "samplers": [[], ["temperature"], ["top_p", "top_k"], ["typ_p", "tfs"]],
    "min_keep": [1, 2**20],
    "logit_bias": [{"5": 2.5}, {"5": False}, {" the": -1_000}, [[5, 1_000], ["漢字", False]]],
    "grammar": ['root ::= "a" [a-z]*', 'root ::= "yes" | "no"'],
    "ignore_eos": [True],
    "stop": [[], ["."], ["\n", "漢字"]],
    "draft_num_predict": [0],
    "strict": [True],
}
# Options that do nothing alone.
WITH = {
    "mirostat_tau": {"mirostat": 2},
    "mirostat_eta": {"mirostat": 1},
    "dry_base": {"dry_multiplier": 0.8},
    "dry_allowed_length": {"dry_multiplier": 0.8},
    "dry_penalty_last_n": {"dry_multiplier": 0.8},
    "dry_sequence_breakers": {"dry_multiplier": 0.8},
    "xtc_threshold": {"xtc_probability": 1},
    "dynatemp_exponent": {"dynatemp_range": 0.5},
    "repeat_last_n": {"repeat_penalty": 1.3, "presence_penalty": 1.0},
    "penalize_newline": {"repeat_penalty": 1.3},
}


@pytest.mark.parametrize("name", [name for name, spec in OPTIONS.items() if spec.group == "sampling"])
def test_every_sampling_option(llm: pyollama.LLM, name: str) -> None:
    """Catches an option that native code refuses, or that breaks it, at the ends of its range."""
    for value in VALUES[name]:
        options = {"num_predict": 3, **WITH.get(name, {}), name: value}
        answer = llm.generate("Tell me a story.", options=options)
        assert len(answer.tokens) <= options["num_predict"]
        assert answer.stats.generated_tokens >= 1


def test_drafts_are_refused(llm: pyollama.LLM) -> None:
    """Catches an option that is accepted and does nothing."""
    with pytest.raises(pyollama.Unsupported, match="draft"):
        llm.generate("Hello", options={"draft_num_predict": 4})


class OwnModel:
    """A model directory with the weights of ``tiny`` under the name ``mine``, and settings of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with pyollama.LLM("tiny", options={"vocab_only": True}) as tiny:
            weights = Path(tiny.model.header.path)
        blobs = root / "blobs"
        blobs.mkdir(parents=True)
        shutil.copy(weights, blobs / weights.name)
        layers = [("model", weights.name.replace("-", ":"), weights.stat().st_size)]
        parameters = {"num_predict": 2, "num_ctx": 128, "stop": ["never"]}
        for kind, data in [("params", json.dumps(parameters).encode()), ("system", b"Be brief.")]:
            layers.append((kind, *self._blob(data)))
        config = self._blob(json.dumps({"model_format": "gguf", "model_family": "llama"}).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": self._layer("application/vnd.docker.container.image.v1+json", *config),
            "layers": [
                self._layer(f"application/vnd.ollama.image.{kind}", digest, size)
                for kind, digest, size in layers
            ],
        }
        path = root / "manifests" / "registry.ollama.ai" / "library" / "mine" / "latest"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(manifest), encoding="utf-8")

    @staticmethod
    def _layer(media_type: str, digest: str, size: int) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": digest, "size": size}

    def _blob(self, data: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        (self.root / "blobs" / f"sha256-{digest}").write_bytes(data)
        return f"sha256:{digest}", len(data)


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    OwnModel(tmp_path)
    return "mine"


def test_precedence(own_model: str) -> None:
    """Catches options of a request, of the LLM and of the model that win in the wrong order."""
    with pyollama.LLM(own_model) as llm:
        assert llm.engine.n_ctx == 128
        answer = llm.generate(SKY)
        assert len(answer.tokens) == 2
        assert "system\nBe brief.<|im_end|>" in prompt_text(llm, answer)
        assert len(llm.generate(SKY, options={"num_predict": 5, "ignore_eos": True}).tokens) == 5
    given = {"num_predict": 3, "num_ctx": 96}
    with pyollama.LLM(own_model, options=given, system="Be kind.") as llm:
        assert llm.engine.n_ctx == 96
        answer = llm.generate(SKY)
        assert len(answer.tokens) == 3
        assert "system\nBe kind.<|im_end|>" in prompt_text(llm, answer)
        assert len(llm.generate(SKY, options={"num_predict": 5, "ignore_eos": True}).tokens) == 5
        assert len(llm.generate(SKY, options={"num_predict": None}).tokens) == 3, "None is: not given"
        assert len(llm.generate(SKY, options=Options(num_predict=4)).tokens) == 4


@pytest.mark.parametrize(("num_predict", "tokens"), [(0, 0), (1, 1), (5, 5)])
def test_num_predict(llm: pyollama.LLM, num_predict: int, tokens: int) -> None:
    """Catches a limit that is off by one, and a zero that is taken for no limit."""
    answer = llm.generate("Tell me a story.", options={"num_predict": num_predict, "ignore_eos": True})
    assert len(answer.tokens) == answer.stats.generated_tokens == tokens
    assert (answer.done_reason, answer.stop) == ("length", "")
    assert bool(answer.text) == bool(tokens)


def test_num_predict_without_limit(llm: pyollama.LLM) -> None:
    """Catches a model that has lost itself and never ends: ten contexts are the most."""
    options = {**GREEDY, "num_predict": -1, "num_ctx": 32, "ignore_eos": True}
    answer = llm.generate("Once upon a time", raw=True, options=options)
    assert len(answer.tokens) == 320
    assert answer.done_reason == "length"
    assert answer.stats.context_shifts > 10


def test_num_predict_until_the_context_is_full(llm: pyollama.LLM) -> None:
    """Catches a shift of the context that nobody wanted. The last token needs no place in it."""
    options = {**GREEDY, "num_predict": -2, "num_ctx": 32, "ignore_eos": True}
    answer = llm.generate("Once upon a time", raw=True, options=options)
    assert answer.stats.prompt_tokens + len(answer.tokens) == 32 + 1
    assert (answer.done_reason, answer.stats.context_shifts) == ("length", 0)


def test_context_shift_goes_on(llm: pyollama.LLM) -> None:
    """Catches text that changes long before the context is full, or that breaks off there."""
    options = {**GREEDY, "num_predict": 60, "ignore_eos": True}
    whole = llm.generate("Once upon a time", raw=True, options=options)
    short = llm.generate("Once upon a time", raw=True, options={**options, "num_ctx": 40})
    room = 40 - short.stats.prompt_tokens
    assert short.tokens[:room] == whole.tokens[:room]
    assert len(short.tokens) == 60


def test_num_ctx_of_a_request(llm: pyollama.LLM) -> None:
    """Catches a request that gets more context than was loaded without a word, or less than it asked for."""
    longer = "word " * 60
    assert llm.generate(longer, options={"num_ctx": llm.engine.n_ctx, "num_predict": 1}).tokens
    with pytest.raises(ContextLengthExceeded, match="context holds 32") as error:
        llm.generate(longer, options={"num_ctx": 32})
    assert (error.value.n_tokens, error.value.n_ctx) == (len(llm.tokenize(USER.format(longer))), 32)
    with pytest.raises(OptionError, match="num_ctx=100000") as refused:
        llm.generate("Hi", options={"num_ctx": 100_000})
    assert (refused.value.option, refused.value.value) == ("num_ctx", 100_000)


OTHER_LOAD_OPTIONS: dict[str, Any] = {
    "num_batch": 1_024,
    "num_gqa": 8,
    "num_gpu": 5,
    "main_gpu": 1,
    "num_thread": 1,
    "num_parallel": 3,
    "numa": True,
    "low_vram": True,
    "f16_kv": False,
    "kv_cache_type": "q8_0",
    "flash_attention": True,
    "use_mmap": False,
    "use_mlock": True,
    "vocab_only": True,
    "embedding_only": True,
    "rope_frequency_base": 5e5,
    "rope_frequency_scale": 0.5,
}


@pytest.mark.parametrize(
    "name", [n for n, spec in OPTIONS.items() if spec.group == "load" and n != "num_ctx"]
)
def test_load_options_in_a_request(llm: pyollama.LLM, name: str) -> None:
    """Catches a load option that is ignored; the value that the model has anyway is no error."""
    with pytest.raises(OptionError, match=f'"{name}".*LLM\\(options=') as error:
        llm.generate("Hi", options={name: OTHER_LOAD_OPTIONS[name]})
    assert (error.value.option, error.value.value) == (name, OTHER_LOAD_OPTIONS[name])
    same = getattr(llm.model.options, name)
    assert llm.generate("Hi", options={name: same, "num_predict": 1}).tokens


def test_smaller_num_batch(llm: pyollama.LLM) -> None:
    """Catches a batch size of a request that changes more than the speed."""
    prompt = "The numbers are " + ", ".join(str(number) for number in range(40))
    answers = [
        llm.generate(prompt, raw=True, options={**GREEDY, "num_batch": size, "num_predict": 4, "seed": size})
        for size in (512, 7, 1)
    ]
    assert len({answer.text for answer in answers}) == 1


def test_stop_strings(llm: pyollama.LLM) -> None:
    """Catches a stop string that is shown, missed, or not named; the first one in the text ends it."""
    whole = llm.generate(SKY, options=GREEDY)
    answer = llm.generate(SKY, options={**GREEDY, "stop": ["never there", "scatter", "blue light"]})
    assert answer.text == whole.text[: whole.text.index("scatter")]
    assert (answer.done_reason, answer.stop) == ("stop", "scatter")
    assert answer.tokens == whole.tokens[: len(answer.tokens)]
    assert "scatter" in llm.detokenize(answer.tokens)
    assert answer.stats.generated_tokens == len(answer.tokens)
    across = whole.text[20:40]  # begins and ends inside of tokens
    answer = llm.generate(SKY, options={**GREEDY, "stop": [across]})
    assert (answer.text, answer.stop) == (whole.text[:20], across)


def test_seed(llm: pyollama.LLM) -> None:
    """Catches a seed without an effect, and answers that cannot be repeated from what the result says."""
    options = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "num_predict": 20}

    def run(**more: Any) -> Completion:
        return llm.generate("Tell me a story.", options={**options, **more})

    assert run(seed=5).tokens == run(seed=5).tokens
    assert run(seed=2**32 + 5).tokens == run(seed=5).tokens, "a seed counts modulo 2**32"
    assert len({run(seed=seed).tokens for seed in range(6)}) > 1
    first, second = run(), run()
    assert first.stats.seed != second.stats.seed
    assert run(seed=first.stats.seed).tokens == first.tokens


def test_logit_bias(llm: pyollama.LLM) -> None:
    """Catches a bias that misses its token, by number or by text."""
    plain = llm.generate(SKY, options={**GREEDY, "num_predict": 10})
    banned = llm.generate(
        SKY, options={**GREEDY, "num_predict": 10, "logit_bias": [[plain.tokens[0], False]]}
    )
    assert plain.tokens[0] not in banned.tokens
    (token,) = llm.tokenize(" the", add_special=False)
    options = {**GREEDY, "num_predict": 3, "logit_bias": {" the": 1_000}}
    assert llm.generate(SKY, options=options).tokens == (token,) * 3


# --- raw, context, system ---------------------------------------------------------------------------


def test_raw(llm: pyollama.LLM) -> None:
    """Catches a chat template around a raw prompt; control tokens that it writes out are control tokens."""
    answer = llm.generate("Once upon a time", raw=True, options={**GREEDY, "num_predict": 3})
    assert prompt_text(llm, answer) == "Once upon a time"
    by_hand = llm.generate(USER.format(SKY), raw=True, options=GREEDY)
    assert by_hand.context == llm.generate(SKY, options=GREEDY).context
    with pytest.raises(InvalidRequest, match="raw is set"):
        llm.generate("Hi", raw=True, system="Be brief.")


def test_context_round_trip(llm: pyollama.LLM) -> None:
    """Catches a context that does not carry the conversation, or whose cells are computed again."""
    first = llm.generate("My name is Anna.", options=GREEDY)
    second = llm.generate("What is my name?", context=first.context, options=GREEDY)
    assert "Anna" in second.text
    assert second.context[: len(first.context)] == first.context
    assert second.stats.cached_tokens >= len(first.context) - 1
    third = llm.generate("What is my name?", context=list(second.context), options=GREEDY)
    assert "Anna" in third.text


def test_system(llm: pyollama.LLM) -> None:
    """Catches a system message that is lost, doubled, or left over from another request."""
    answer = llm.generate(SKY, system="Speak as a pirate.", options=GREEDY)
    assert prompt_text(llm, answer) == "<|im_start|>system\nSpeak as a pirate.<|im_end|>\n" + USER.format(SKY)
    assert answer.text != llm.generate(SKY, options=GREEDY).text
    assert prompt_text(llm, llm.generate(SKY, system="", options=GREEDY)) == USER.format(SKY)
    with pyollama.LLM("tiny", system="Be brief.", options={"num_parallel": 1}) as brief:
        options = {"num_predict": 1}
        assert "Be brief." in prompt_text(brief, brief.generate(SKY, options=options))
        assert "Be brief." not in prompt_text(brief, brief.generate(SKY, system="", options=options))
        own = prompt_text(brief, brief.generate(SKY, system="Be kind.", options=options))
        assert own.count("<|im_start|>system\n") == own.count("Be kind.") == 1


# --- format -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [SKY, "Name three colors. Respond using JSON.", "What is 7 plus 5?"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_json(llm: pyollama.LLM, prompt: str, temperature: float) -> None:
    """Catches output that is no JSON object. What breaks off at the limit is the only exception."""
    options = {"temperature": temperature, "seed": 3, "num_predict": 400}
    answer = llm.generate(prompt, format="json", options=options)
    if answer.done_reason == "stop":
        assert isinstance(json.loads(answer.text), dict)
    else:
        assert answer.text.startswith("{")
    assert temperature or answer.done_reason == "stop"


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "color": {"enum": ["red", "green", "blue"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        "kind": {"const": "person"},
    },
    "required": ["name", "age", "color", "tags", "kind"],
    "additionalProperties": False,
}


def check_person(text: str) -> None:
    person = json.loads(text)
    assert list(person) == ["name", "age", "color", "tags", "kind"]
    assert isinstance(person["name"], str)
    assert 1 <= len(person["name"]) <= 12
    assert type(person["age"]) is int
    assert 0 <= person["age"] <= 120
    assert person["color"] in ("red", "green", "blue")
    assert 1 <= len(person["tags"]) <= 3
    assert all(type(tag) is bool for tag in person["tags"])
    assert person["kind"] == "person"


class PersonModel:
    """As a pydantic model."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return PERSON


@pytest.mark.parametrize("schema", [PERSON, json.dumps(PERSON), PersonModel], ids=["dict", "text", "class"])
@pytest.mark.parametrize("seed", [1, 2])
def test_schema(llm: pyollama.LLM, schema: Any, seed: int) -> None:
    """Catches output that breaks the schema, in each form in which a schema can be given."""
    options = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "seed": seed, "num_predict": 400}
    answer = llm.generate("Tell me about a person.", format=schema, options=options)
    assert answer.done_reason == "stop"
    assert answer.warnings == ()
    check_person(answer.text)


def test_strict(llm: pyollama.LLM) -> None:
    """Catches a part of a schema that is not enforced and that nobody hears about."""
    schema = {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True, "maxItems": 2}
    answer = llm.generate("Hi", format=schema, options=GREEDY)
    assert set(json.loads(answer.text)) <= {1, 2}
    assert any("uniqueItems" in warning for warning in answer.warnings)
    with pytest.raises(GrammarError, match="uniqueItems"):
        llm.generate("Hi", format=schema, options={"strict": True})
    assert not llm.generate("Hi", format={"type": "boolean"}, options={**GREEDY, "strict": True}).warnings


def test_grammar(llm: pyollama.LLM) -> None:
    """Catches a grammar that is not followed, and one that fights with a format in silence."""
    options = {"temperature": 2.0, "grammar": 'root ::= ("yes" | "no") "!"'}
    answers = {llm.generate(SKY, options={**options, "seed": seed}).text for seed in range(4)}
    assert answers <= {"yes!", "no!"}
    with pytest.raises(InvalidRequest, match="not both"):
        llm.generate(SKY, format="json", options=options)
    with pytest.raises(GrammarError):
        llm.generate(SKY, options={"grammar": 'root ::= "a" | missing'})
    assert llm.generate(SKY, format="", options=options).text in {"yes!", "no!"}


# --- logprobs ---------------------------------------------------------------------------------------


def test_logprobs(llm: pyollama.LLM) -> None:
    """Catches alternatives in the wrong order or of the wrong place, and probabilities that are none."""
    answer = llm.generate(SKY, logprobs=4, options=GREEDY)
    assert tuple(entry.token for entry in answer.logprobs) == answer.tokens
    assert b"".join(entry.bytes for entry in answer.logprobs).decode() == answer.text
    for entry in answer.logprobs:
        values = [other.logprob for other in entry.top]
        assert len(values) == 4
        assert values == sorted(values, reverse=True)
        assert (entry.top[0].token, entry.top[0].logprob) == (entry.token, entry.logprob), "greedy"
        assert sum(map(math.exp, values)) <= 1 + 1e-5
        assert all(other.top == () for other in entry.top)
        assert entry.text == entry.bytes.decode("utf-8", "replace")
        assert llm.detokenize([entry.token]) == entry.text


def test_logprobs_of_all_tokens(llm: pyollama.LLM) -> None:
    """Catches numbers that are not the logarithms of a distribution; a request for more than there are."""
    answer = llm.generate(SKY, logprobs=10_000, options={**GREEDY, "num_predict": 2})
    for entry in answer.logprobs:
        assert len({other.token for other in entry.top}) == llm.model.native.n_vocab
        assert sum(math.exp(other.logprob) for other in entry.top) == pytest.approx(1, abs=1e-4)


def test_logprobs_are_the_models_own(llm: pyollama.LLM) -> None:
    """Catches logprobs after temperature, samplers or grammar, which would be 0 for what they force."""
    options = {"num_predict": 1, "grammar": 'root ::= "zebra" [a-z]*', "temperature": 0.01, "top_k": 1}
    (entry,) = llm.generate(SKY, logprobs=0, options=options).logprobs
    assert entry.top == ()
    assert entry.logprob < -3
    assert llm.generate(SKY, options=options).logprobs == ()
