"""The create request: what it may say, and what is refused before anything is written."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyollama.create import CreateRequest
from pyollama.errors import Error, InvalidModelName, InvalidRequest, OptionError, Unsupported
from pyollama.store import Store

from .steps import create, sha256


def test_decode() -> None:
    """Catches a key that is not read, null that is not "absent", and the older key that wins."""
    body = {
        "model": "m",
        "name": "old",
        "from": "tiny",
        "files": {"a.gguf": "sha256:x"},
        "system": "s",
        "parameters": {"top_k": 1, "stop": ["a"]},
        "license": ["a", "b"],
        "messages": [{"role": "user", "content": "c"}],
        "stream": False,
        "something": {"new": 1},
    }
    request = CreateRequest.decode(json.dumps(body).encode())
    assert (request.model, request.from_, request.files, request.system) == ("m", "tiny", body["files"], "s")
    assert (request.parameters, request.licenses) == (body["parameters"], ("a", "b"))
    assert request.messages == tuple(body["messages"])  # type: ignore[arg-type]
    assert CreateRequest.decode(b'{"license":"one","name":"old","model":""}').licenses == ("one",)
    assert CreateRequest.decode(b'{"license":"one","name":"old","model":""}').model == "old"
    empty = dict.fromkeys([*body, "template", "quantize", "info"])
    assert CreateRequest.decode(json.dumps(empty).encode()) == CreateRequest()


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_no_body(body: bytes) -> None:
    """Catches an error without the words that clients know."""
    with pytest.raises(InvalidRequest, match=r"^missing request body$"):
        CreateRequest.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b'{"model":1}',
        b'{"model":"m","from":[]}',
        b'{"files":["a"]}',
        b'{"files":{"a":1}}',
        b'{"system":{}}',
        b'{"parameters":[1]}',
        b'{"license":[1]}',
        b'{"license":{}}',
        b'{"messages":"x"}',
        b'{"messages":["x"]}',
        b'\xff{"model":"m"}',
        b'{"model":"\xff"}',
        b'{"parameters":' + b"[" * 100_000,
    ],
    ids=lambda body: ascii(body)[:40],
)
def test_wrong_types(body: bytes) -> None:
    """Catches a wrong type that gets through, or an error that would be a 500."""
    with pytest.raises(InvalidRequest):
        CreateRequest.decode(body)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("template", "{{ .Prompt }}"),
        ("adapters", {"a": "sha256:x"}),
        ("quantize", "q4_K_M"),
        ("quantization", "q4_K_M"),
        ("draft_files", {"a": "b"}),
        ("draft_quantize", "q8_0"),
        ("renderer", "r"),
        ("parser", "p"),
        ("requires", "0.1.0"),
        ("info", {"base_name": "x"}),
        ("remote_host", "h"),
        ("modelfile", "FROM tiny"),
        ("path", "/Modelfile"),
    ],
)
def test_not_yet(key: str, value: Any) -> None:
    """Catches a field that is ignored: the model would not be what was asked for."""
    body = {"model": "m", "from": "tiny", key: value}
    with pytest.raises(Unsupported, match=f'^"{key}" of a create request is not supported'):
        CreateRequest.decode(json.dumps(body).encode())
    body[key] = type(value)()
    assert CreateRequest.decode(json.dumps(body).encode()).from_ == "tiny"


# too_slow: it looks at the clock, and other programs may have the processors.
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=200,
)
@given(
    st.dictionaries(
        st.sampled_from(["model", "name", "from", "files", "system", "parameters", "license", "messages"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["role", "content", "stop", "a/b"]), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_any_request(store: Store, body: Any) -> None:
    """Catches a body that ends in an error of another kind, or that writes before it is refused."""
    try:
        request = CreateRequest.decode(json.dumps(body).encode())
        request.check()
    except Error:
        pass
    assert not store.root.exists()


# --- checks ----------------------------------------------------------------------------------------


def test_neither(store: Store) -> None:
    """Catches a model that is made of nothing."""
    for fields in ({}, {"system": "x"}, {"from_": "  "}):
        with pytest.raises(InvalidRequest, match=r"^neither 'from' or 'files' was specified$"):
            create(store, model="m", **fields)


@pytest.mark.parametrize("name", ["", " ", "a b", "../m", "a/", "m:", "m@sha256:abc", "x" * 81, "é"])
def test_names(name: str, store: Store) -> None:
    """Catches a bad name of the model or of its base that becomes a path."""
    with pytest.raises(InvalidModelName, match=r"^invalid model name"):
        create(store, model=name, from_="tiny")
    if name.strip():
        with pytest.raises(InvalidModelName, match=r"^invalid model name"):
            create(store, model="m", from_=name)
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top_q": 1}, r"^unknown parameter 'top_q'$"),
        ({"unknown": ["x"]}, r"^unknown parameter 'unknown'$"),
        ({"top_q": None}, r"^unknown parameter 'top_q'$"),
        ({"top_k": "many"}, 'option "top_k" must be of type integer'),
        ({"temperature": -1}, 'option "temperature" must be between'),
        ({"temperature": math.nan}, 'option "temperature" must be'),
        ({"stop": "x"}, 'option "stop" must be of type array'),
        ({"stop": [1]}, 'option "stop" must be of an array of strings'),
        ({"num_ctx": 10**400}, 'option "num_ctx" must be'),
        ({"stop": ["\ud800"]}, 'option "stop" must be'),
        ({"logit_bias": [["a", -math.inf]]}, r'^"parameters" cannot be stored: -inf'),
    ],
)
def test_parameters(parameters: dict[str, Any], message: str, store: Store) -> None:
    """Catches a parameter that nobody knows, or that spoils every later request to the model."""
    with pytest.raises(InvalidRequest, match=message) as caught:
        create(store, model="m", from_="tiny", parameters=parameters)
    assert isinstance(caught.value, OptionError) is message.startswith("option")
    assert not store.root.exists()


def test_parameters_are_stored_as_given(store: Store) -> None:
    """Catches a parameter that the check changes: a later version may read it in another way."""
    given_ = {
        "seed": 2**60,
        "logit_bias": {"5": False, "b": 1.5},
        "num_ctx": 4096.0,
        "flash_attention": "auto",
    }
    create(store, model="m", from_="tiny", parameters=given_)
    assert {key: value for key, value in store.find("m").parameters.items() if key in given_} == given_


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({}, "role must be one of"),
        ({"role": "robot", "content": "x"}, "role must be one of"),
        ({"role": 1, "content": "x"}, "role must be one of"),
        ({"role": "user", "content": 1}, "content of a message must be a text"),
        ({"role": "user", "content": None}, "content of a message must be a text"),
        ({"role": "user", "content": "\ud800"}, "unpaired surrogate"),
        ({"role": "user", "content": "x", "images": ["aGk="]}, '"images" of a stored message'),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, '"tool_calls" of a stored message'),
    ],
)
def test_messages(message: Any, error: str, store: Store) -> None:
    """Catches a message that no request to the model would survive, or of which a part is dropped."""
    with pytest.raises((InvalidRequest, Unsupported), match=error):
        create(store, model="m", from_="tiny", messages=(message,))
    assert not store.root.exists()


@pytest.mark.parametrize("field", ["system", "license"])
def test_text_that_is_no_unicode(field: str, store: Store) -> None:
    """Catches an error of Python in the middle of the work."""
    with pytest.raises(InvalidRequest, match=f'^"{field}" has text that is not valid Unicode'):
        create(store, model="m", from_="tiny", **{field: "\ud800"})
    assert not store.root.exists()


def test_checks_come_in_order(store: Store) -> None:
    """Catches an order of errors that differs from Ollama's: paths, digests, names, what to make it of."""
    fields: dict[str, Any] = {"model": "", "files": {"../a": ""}}
    with pytest.raises(InvalidRequest, match="file path must be relative"):
        create(store, **fields)
    fields["files"] = {"a": ""}
    with pytest.raises(InvalidRequest, match="invalid digest format"):
        create(store, **fields)
    fields["files"] = {"a": sha256(b"")}
    with pytest.raises(InvalidModelName):
        create(store, **fields)
