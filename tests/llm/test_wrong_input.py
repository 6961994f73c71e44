"""What cannot be right: an exception that says what is wrong, and a model that still works afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pyollama
from pyollama.errors import (
    Cancelled,
    ContextLengthExceeded,
    Error,
    GrammarError,
    InvalidModelFile,
    InvalidModelName,
    InvalidRequest,
    ModelLoadError,
    ModelNotFound,
    OptionError,
    Unsupported,
)

from .helpers import GREEDY

N_CTX = 256


@pytest.fixture(scope="module")
def small() -> Iterator[pyollama.LLM]:
    with pyollama.LLM("tiny", options={"num_ctx": N_CTX, "num_parallel": 1, "flash_attention": False}) as llm:
        yield llm


@pytest.fixture(scope="module")
def expected(small: pyollama.LLM) -> str:
    return small.generate("Hi", options=GREEDY).text


@pytest.fixture
def llm(small: pyollama.LLM, expected: str) -> Iterator[pyollama.LLM]:
    """A model that must still give its answer after the test."""
    yield small
    assert small.generate("Hi", options=GREEDY).text == expected


@pytest.fixture
def weights(small: pyollama.LLM) -> Path:
    return Path(small.model.header.path)


# --- options ------------------------------------------------------------------------------------------

BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"temperature": "hot"}, '"temperature" must be of type float32'),
    ({"temperature": True}, '"temperature" must be of type float32'),
    ({"temperature": -0.1}, "between 0 and 100, got -0.1"),
    ({"temperature": float("nan")}, "got nan"),
    ({"temperature": float("inf")}, "got inf"),
    ({"top_k": "40"}, '"top_k" must be of type integer'),
    ({"top_k": 2**31}, "got 2147483648"),
    ({"top_p": 1.01}, "between 0 and 1, got 1.01"),
    ({"min_p": -1}, "between 0 and 1, got -1"),
    ({"seed": "x"}, '"seed" must be of type integer'),
    ({"seed": []}, '"seed" must be of type integer'),
    ({"num_predict": -3}, "got -3"),
    ({"num_predict": 10**400}, "integer of 1329 bits"),
    ({"repeat_penalty": 0}, "got 0"),
    ({"mirostat": 3}, "between 0 and 2, got 3"),
    ({"ignore_eos": 1}, '"ignore_eos" must be of type boolean'),
    ({"penalize_newline": "yes"}, "boolean"),
    ({"stop": "."}, '"stop" must be of type array'),
    ({"stop": [5]}, "array of strings"),
    ({"stop": [""]}, "got a string of 0"),
    ({"stop": ["x" * 1_001]}, "got a string of 1001"),
    ({"stop": ["x"] * 65}, "got 65 strings"),
    ({"stop": ["\ud800"]}, "surrogates"),
    ({"stop": ["\0"]}, "NUL"),
    ({"samplers": ["best"]}, "'best'"),
    ({"samplers": ["top_k", "top_k"]}, "'top_k' twice"),
    ({"logit_bias": {"5": "much"}}, "logit_bias"),
    ({"logit_bias": [[5]]}, r"\[token, bias\] pairs"),
    ({"logit_bias": [[-1, 1.0]]}, "got -1"),
    ({"grammar": 5}, '"grammar" must be of type string'),
    ({"grammar": "x" * 300_000}, "got 300000"),
    ({"num_ctx": 0}, "got 0"),
    ({"num_ctx": 2**40}, "got 1099511627776"),
    ({"num_ctx": N_CTX + 1}, f"num_ctx={N_CTX + 1}"),
    ({"num_batch": 1_024}, "num_batch=1024"),
    ({"num_thread": 3}, "num_thread=3"),
    ({"kv_cache_type": "q3"}, "'q3'"),
    ({"flash_attention": "maybe"}, '"flash_attention" must be of type boolean or "auto"'),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=[str(o)[:40] for o, _ in BAD_OPTIONS])
def test_options_of_a_request(llm: pyollama.LLM, options: dict[str, Any], message: str) -> None:
    """Catches a value that reaches native code, and a message that does not say which option is meant."""
    (name,) = options
    with pytest.raises(OptionError, match=message) as error:
        llm.generate("Hi", options=options)
    assert error.value.option == name
    assert name in str(error.value)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_ctx": -1}, "got -1"),
        ({"num_parallel": 257}, "got 257"),
        ({"num_thread": 1_025}, "got 1025"),
        ({"num_gpu": "all"}, "num_gpu"),
        ({"use_mmap": "no"}, "use_mmap"),
        ({"temperature": 101}, "got 101"),
        ({"rope_frequency_base": float("inf")}, "got inf"),
    ],
)
def test_options_of_a_model(options: dict[str, Any], message: str) -> None:
    """Catches a value that is checked only once the model has been loaded, or never."""
    with pytest.raises(OptionError, match=message):
        pyollama.LLM("tiny", options=options)


@pytest.mark.parametrize("options", [5, "x", ["temperature"], {1: 2}, {None: 1}])
def test_options_that_are_no_object(llm: pyollama.LLM, options: Any) -> None:
    """Catches options of another type that are ignored."""
    with pytest.raises(InvalidRequest, match="options must be an object"):
        llm.generate("Hi", options=options)
    with pytest.raises(InvalidRequest, match="options must be an object"):
        pyollama.LLM("tiny", options=options)


def test_unknown_options_are_only_logged(llm: pyollama.LLM, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a misspelled option that nobody hears about; Ollama takes such a request, so it is no error."""
    assert llm.generate("Hi", options={"temprature": 5, "num_predict": 1}).tokens
    assert "'temprature'" in caplog.text


# --- prompts, messages, tokens ------------------------------------------------------------------------


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


LONG = "word " * 300
BAD_CALLS: list[tuple[Callable[[pyollama.LLM], Any], type[Error], str]] = [
    (lambda llm: llm.generate(5), InvalidRequest, "prompt must be a str, got int"),
    (lambda llm: llm.generate(None), InvalidRequest, "prompt must be a str, got NoneType"),
    (lambda llm: llm.generate(b"Hi"), InvalidRequest, "prompt must be a str, got bytes"),
    (lambda llm: llm.generate("", raw=True), InvalidRequest, "no tokens"),
    (lambda llm: llm.generate("a\ud800b"), InvalidRequest, "not valid Unicode"),
    (lambda llm: llm.generate("a\ud800b", raw=True), InvalidRequest, "not valid Unicode.*ud800"),
    (lambda llm: llm.generate(LONG), ContextLengthExceeded, "has 313 tokens, the context holds 256"),
    (lambda llm: llm.generate(LONG, raw=True), ContextLengthExceeded, "302 tokens"),
    (lambda llm: llm.generate("Hi", context=[1] * 256), ContextLengthExceeded, "holds 256"),
    (lambda llm: llm.generate("Hi", context=[4_096]), InvalidRequest, "4096 is not in the vocabulary"),
    (lambda llm: llm.generate("Hi", context=[-1]), InvalidRequest, "token -1"),
    (lambda llm: llm.generate("Hi", context=[2**40]), InvalidRequest, "1099511627776"),
    (lambda llm: llm.generate("Hi", context=["a"]), InvalidRequest, "tokens must be integers.*str"),
    (lambda llm: llm.generate("Hi", context=[1.5]), InvalidRequest, "tokens must be integers.*float"),
    (lambda llm: llm.generate("Hi", context="12"), InvalidRequest, "list of token ids, got str"),
    (lambda llm: llm.generate("Hi", context=b"12"), InvalidRequest, "list of token ids, got bytes"),
    (lambda llm: llm.generate("Hi", context=5), InvalidRequest, "list of token ids, got int"),
    (lambda llm: llm.generate("Hi", context=None), InvalidRequest, "list of token ids, got NoneType"),
    (lambda llm: llm.generate("Hi", system=5), InvalidRequest, "system message must be a str, got int"),
    (lambda llm: llm.generate("Hi", system="\ud800"), InvalidRequest, "not valid Unicode"),
    (lambda llm: llm.generate("Hi", raw=True, system="x"), InvalidRequest, "raw is set"),
    (lambda llm: llm.generate("Hi", logprobs=-1), InvalidRequest, "logprobs.*got -1"),
    (lambda llm: llm.generate("Hi", logprobs=2**30), InvalidRequest, "logprobs.*got 1073741824"),
    (lambda llm: llm.generate("Hi", logprobs="3"), InvalidRequest, "logprobs.*got '3'"),
    (lambda llm: llm.generate("Hi", logprobs=True), InvalidRequest, "logprobs.*got True"),
    (lambda llm: llm.generate("Hi", format="xml"), InvalidRequest, "got 'xml'"),
    (lambda llm: llm.generate("Hi", format=5), InvalidRequest, "got int"),
    (lambda llm: llm.generate("Hi", format=int), InvalidRequest, "got type"),
    (lambda llm: llm.generate("Hi", format="{"), InvalidRequest, "not valid JSON"),
    (lambda llm: llm.generate("Hi", format={"type": "nope"}), GrammarError, '"nope"'),
    (lambda llm: llm.generate("Hi", format={"x": object()}), InvalidRequest, "cannot be written as JSON"),
    (lambda llm: llm.generate("Hi", options={"grammar": "root ::= ("}), GrammarError, ""),
    (lambda llm: llm.generate("Hi", options={"grammar": "rot ::= [a-z]"}), GrammarError, "root"),
    (lambda llm: llm.generate("Hi", options={"logit_bias": {"4096": 1}}), InvalidRequest, "4096"),
    (lambda llm: llm.chat(None), InvalidRequest, "messages must be a list.*NoneType"),
    (lambda llm: llm.chat("Hi"), InvalidRequest, "messages must be a list.*str"),
    (
        lambda llm: llm.chat({"role": "user", "content": "Hi"}),
        InvalidRequest,
        "messages must be a list.*dict",
    ),
    (lambda llm: llm.chat([]), InvalidRequest, "messages is empty"),
    (lambda llm: llm.chat(["Hi"]), InvalidRequest, '"role" and "content", got str'),
    (lambda llm: llm.chat([None]), InvalidRequest, "got NoneType"),
    (lambda llm: llm.chat([{"role": "user"}]), InvalidRequest, "content.*NoneType"),
    (lambda llm: llm.chat([{"content": "Hi"}]), InvalidRequest, "role.*got None"),
    (lambda llm: llm.chat([{"role": "boss", "content": "Hi"}]), InvalidRequest, "role.*got 'boss'"),
    (lambda llm: llm.chat([{"role": ["user"], "content": "Hi"}]), InvalidRequest, "role.*'user'"),
    (lambda llm: llm.chat(user(5)), InvalidRequest, "content.*got int"),
    (lambda llm: llm.chat(user(["Hi"])), InvalidRequest, "content.*got list"),
    (lambda llm: llm.chat(user("\udfff")), InvalidRequest, "not valid Unicode"),
    (lambda llm: llm.chat([{**user("Hi")[0], "images": ["aGk="]}]), InvalidRequest, '"images"'),
    (lambda llm: llm.chat(user(LONG)), ContextLengthExceeded, "has 313 tokens, the context holds 256"),
    (lambda llm: llm.embed(5), InvalidRequest, "got int"),
    (lambda llm: llm.embed(None), InvalidRequest, "got NoneType"),
    (lambda llm: llm.embed(b"Hi"), InvalidRequest, "got bytes"),
    (lambda llm: llm.embed({"a": 1}), InvalidRequest, "got dict"),
    (lambda llm: llm.embed([1, 2]), InvalidRequest, "text 0 must be .* got int"),
    (lambda llm: llm.embed(["a", None]), InvalidRequest, "text 1 must be .* got NoneType"),
    (lambda llm: llm.embed([[4_096]]), InvalidRequest, "4096"),
    (lambda llm: llm.embed([["a"]]), InvalidRequest, "tokens must be integers"),
    (lambda llm: llm.embed("\ud800"), InvalidRequest, "not valid Unicode"),
    (lambda llm: llm.embed(LONG), ContextLengthExceeded, "text 0 has 302 tokens, the context holds 256"),
    (lambda llm: llm.embed("Hi", dimensions=0), InvalidRequest, "dimensions.*got 0"),
    (lambda llm: llm.embed("Hi", dimensions=257), InvalidRequest, "dimensions.*got 257"),
    (lambda llm: llm.embed("Hi", dimensions="9"), InvalidRequest, "dimensions.*got '9'"),
    (lambda llm: llm.embed("Hi", dimensions=1.5), InvalidRequest, "dimensions.*got 1.5"),
    (lambda llm: llm.tokenize(5), InvalidRequest, "got int"),
    (lambda llm: llm.tokenize("\ud800"), InvalidRequest, "ud800"),
    (lambda llm: llm.detokenize([4_096]), InvalidRequest, "4096"),
    (lambda llm: llm.detokenize([-1]), InvalidRequest, "-1"),
    (lambda llm: llm.detokenize(5), InvalidRequest, "int"),
    (lambda llm: llm.detokenize(["a"]), InvalidRequest, "tokens must be integers"),
]


@pytest.mark.parametrize("number", range(len(BAD_CALLS)))
def test_calls(llm: pyollama.LLM, number: int) -> None:
    """Catches an argument that is taken for another, or that fails somewhere deep with a message about that place."""
    call, kind, message = BAD_CALLS[number]
    with pytest.raises(Error, match=re.compile(message, re.DOTALL)) as error:
        call(llm)
    assert type(error.value) is kind


def test_unknown_arguments(llm: pyollama.LLM) -> None:
    """Catches a misspelled argument without an effect."""
    with pytest.raises(TypeError, match="temperature"):
        llm.generate("Hi", temperature=0)
    with pytest.raises(TypeError, match="normalise"):
        llm.embed("Hi", normalise=False)


def test_strange_but_right(llm: pyollama.LLM) -> None:
    """Catches texts that break at a NUL, or that are refused although they are Unicode."""
    for text in ("a\0b", "\0", "\ufffd\ufeff", "\U0010ffff", "é" * 50, "<|im_end|>", "{{ x }}{% if %}"):
        answer = llm.generate(text, raw=True, options={"num_predict": 2})
        assert answer.context[: answer.stats.prompt_tokens] == tuple(llm.tokenize(text))
        assert llm.detokenize(llm.tokenize(text)) == text
        assert llm.generate(text, options={"num_predict": 1}).tokens
        assert llm.embed(text).shape == (1, 256)
    assert len(llm.tokenize("a\0b")) > len(llm.tokenize("a"))


def test_prompt_that_just_fits(llm: pyollama.LLM) -> None:
    """Catches a limit that is off by one."""
    tokens = llm.tokenize("word " * 400)[:N_CTX]
    options = {"num_predict": -2, "temperature": 0.0, "ignore_eos": True}
    answer = llm.generate("", raw=True, context=tokens, options=options)
    assert (len(answer.tokens), answer.done_reason) == (1, "length")
    with pytest.raises(ContextLengthExceeded, match="257 tokens"):
        llm.generate("", raw=True, context=[*tokens, 1])


# --- model files --------------------------------------------------------------------------------------


def test_truncated_file(weights: Path, tmp_path: Path) -> None:
    """Catches an incomplete download that crashes native code, or loads with whatever lies behind its end."""
    data = weights.read_bytes()
    with pyollama.LLM("tiny", options={"vocab_only": True}) as llm:
        begin = llm.model.header.data_offset
    lengths = {*range(1, 64), *range(64, begin, begin // 60), *range(begin - 40, begin + 40)}
    lengths |= {*range(begin, len(data), len(data) // 20), *range(len(data) - 3, len(data))}
    path = tmp_path / "cut.gguf"
    for length in sorted(lengths):
        path.write_bytes(data[:length])
        with pytest.raises(InvalidModelFile, match=re.escape(str(path))) as error:
            pyollama.LLM(path)
        assert error.value.path == str(path)
        assert error.value.reason
    path.write_bytes(data)
    pyollama.LLM(path, options={"num_ctx": 32, "num_parallel": 1}).close()


def test_no_model_file(tmp_path: Path, weights: Path) -> None:
    """Catches files that native code would choke on, and a message without the path."""
    text, empty, folder = tmp_path / "text.gguf", tmp_path / "empty.gguf", tmp_path / "folder.gguf"
    text.write_text("This is not a model at all. " * 1_000, encoding="utf-8")
    empty.touch()
    folder.mkdir()
    for path, message in [(text, "not a GGUF file"), (empty, "empty"), (folder, "is a directory")]:
        for given in (path, str(path)):
            with pytest.raises(InvalidModelFile, match=f"{re.escape(str(path))}.*{message}"):
                pyollama.LLM(given)
    for given in (tmp_path / "none.gguf", str(tmp_path / "none.gguf"), "./none.gguf", "~nobody-here/x.gguf"):
        with pytest.raises(ModelNotFound, match=re.escape(str(given).removeprefix("./"))) as error:
            pyollama.LLM(given)
        assert isinstance(error.value, FileNotFoundError)
    with pytest.raises(InvalidModelFile, match="not a regular file"):
        pyollama.LLM("/dev/zero")
    with pytest.raises(ModelNotFound, match="not a path"):
        pyollama.LLM("a\0b.gguf")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("no-such-model", ModelNotFound, '"no-such-model:latest" not found'),
        ("tiny:none", ModelNotFound, '"tiny:none" not found'),
        ("", InvalidModelName, "''"),
        ("a b", InvalidModelName, "'a b'"),
        ("tiny/../../x", InvalidModelName, r"'tiny/\.\./\.\./x'"),
        ("x/../tiny", InvalidModelName, r"'x/\.\./tiny'"),
        ("..", InvalidModelName, r"'\.\.'"),
        ("../tiny", ModelNotFound, r"\.\./tiny: no such file"),
        ("tiny\0", InvalidModelName, "tiny"),
        ("\ud800", InvalidModelName, "ud800"),
        ("x" * 5_000, InvalidModelName, "xxx"),
        (5, InvalidRequest, "got int"),
        (None, InvalidRequest, "got NoneType"),
        (b"tiny", InvalidRequest, "got bytes"),
    ],
)
def test_names(name: Any, kind: type[Error], message: str) -> None:
    """Catches a name that leaves the model directory, and a message that does not repeat what was given."""
    with pytest.raises(Error, match=message) as error:
        pyollama.LLM(name)
    assert type(error.value) is kind
    assert len(str(error.value)) < 1_000


def test_adapters(weights: Path, tmp_path: Path) -> None:
    """Catches an adapter that is none, and a list that is read letter by letter."""
    for adapters, kind, message in [
        ([weights], InvalidModelFile, "is a model, not an adapter"),
        ([(str(weights), 0.5)], InvalidModelFile, "is a model, not an adapter"),
        ([tmp_path / "none.gguf"], ModelNotFound, "none.gguf"),
        (str(weights), InvalidRequest, "must be a list, got str"),
        (None, InvalidRequest, "must be a list, got NoneType"),
        ([5], InvalidRequest, "got 5"),
        ([(weights,)], InvalidRequest, "a path and a scale"),
        ([(weights, "much")], InvalidRequest, "got 'much'"),
        ([(weights, float("nan"))], InvalidRequest, "got nan"),
    ]:
        with pytest.raises(kind, match=message):
            pyollama.LLM("tiny", adapters=adapters)


def test_progress() -> None:
    """Catches a callback that is not asked, whose answer or exception is lost, or that is called after all."""
    seen: list[float] = []
    pyollama.LLM("tiny", options={"num_ctx": 32}, progress=seen.append).close()
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] == 1
    with pytest.raises(Cancelled, match="cancelled"):
        pyollama.LLM("tiny", progress=lambda fraction: fraction < 0.5)
    with pytest.raises(ZeroDivisionError):
        pyollama.LLM("tiny", progress=lambda _: 1 // 0)
    with pytest.raises(KeyboardInterrupt):
        pyollama.LLM("tiny", progress=_interrupt)
    with pytest.raises(InvalidRequest, match="progress must be a function, got int"):
        pyollama.LLM("tiny", progress=5)


def _interrupt(_: float) -> None:
    raise KeyboardInterrupt


def test_what_a_model_cannot_do() -> None:
    """Catches native errors, or worse, where a model was loaded for something else."""
    with pyollama.LLM("tiny", options={"vocab_only": True}) as llm:
        assert llm.detokenize(llm.tokenize("Hi")) == "Hi"
        for call in (
            lambda: llm.generate("Hi"),
            lambda: llm.chat(user("Hi")),
            lambda: llm.embed("Hi"),
            lambda: llm.engine,
        ):
            with pytest.raises(Unsupported, match=r"vocab_only|does not generate text"):
                call()


def test_context_that_cannot_be_made() -> None:
    """Catches a combination that llama.cpp refuses, without its reason."""
    with pytest.raises(ModelLoadError, match="flash_attn"):
        pyollama.LLM("tiny", options={"kv_cache_type": "q4_0", "flash_attention": False})


def test_system_of_the_wrong_type() -> None:
    """Catches a system message that fails only at the first request."""
    with pytest.raises(InvalidRequest, match="system message must be a str, got int"):
        pyollama.LLM("tiny", system=5)
