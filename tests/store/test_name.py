"""Model names: parsed from the right, compared without case, never a path."""

from __future__ import annotations

import copy
import pickle
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import InvalidModelName
from pyollama.store import ModelName

HOST, NAMESPACE = "registry.ollama.ai", "library"


@pytest.mark.parametrize(
    ("text", "scheme", "parts", "short"),
    [
        ("llama3.2", "https", (HOST, NAMESPACE, "llama3.2", "latest"), "llama3.2:latest"),
        ("me/m:v1", "https", (HOST, "me", "m", "v1"), "me/m:v1"),
        ("localhost:5000/a/b", "https", ("localhost:5000", "a", "b", "latest"), "localhost:5000/a/b:latest"),
        (
            "http://10.0.0.2:5000/a/b:q4",
            "http",
            ("10.0.0.2:5000", "a", "b", "q4"),
            "10.0.0.2:5000/a/b:q4",
        ),
        (
            "hf.co/u/Repo-GGUF:Q4_K_M",
            "https",
            ("hf.co", "u", "Repo-GGUF", "Q4_K_M"),
            "hf.co/u/Repo-GGUF:Q4_K_M",
        ),
        ("library/m", "https", (HOST, NAMESPACE, "m", "latest"), "m:latest"),
        ("LIBRARY/M:X", "https", (HOST, "LIBRARY", "M", "X"), "M:X"),
        ("Registry.Ollama.AI/Library/m:1", "https", ("Registry.Ollama.AI", "Library", "m", "1"), "m:1"),
        ("registry.ollama.ai/me/m", "https", (HOST, "me", "m", "latest"), "me/m:latest"),
        ("HTTPS://h/n/m", "https", ("h", "n", "m", "latest"), "h/n/m:latest"),
        ("_h/_n/_m:_t", "https", ("_h", "_n", "_m", "_t"), "_h/_n/_m:_t"),
        ("a:/b/c", "https", ("a:", "b", "c", "latest"), "a:/b/c:latest"),
        ("m:a.b-c", "https", (HOST, NAMESPACE, "m", "a.b-c"), "m:a.b-c"),
        (
            f"{'h' * 350}/{'n' * 80}/{'m' * 80}:{'t' * 80}",
            "https",
            ("h" * 350, "n" * 80, "m" * 80, "t" * 80),
            None,
        ),
    ],
)
def test_parse(text: str, scheme: str, parts: tuple[str, ...], short: str | None) -> None:
    """Catches a wrong default, a port taken for a tag, and case that is folded in the spelling."""
    name = ModelName.parse(text)
    assert (name.scheme, name.path_parts) == (scheme, parts)
    assert (name.host, name.namespace, name.model, name.tag) == parts
    assert name.full == f"{parts[0]}/{parts[1]}/{parts[2]}:{parts[3]}"
    assert name.short == str(name) == (short or name.full)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the model is missing"),
        ("a.b/m", "the namespace 'a.b' has '.'"),
        ("m:", "the tag is missing"),
        (":t", "the model is missing"),
        ("a/", "the model is missing"),
        ("/a", "the namespace is missing"),
        ("/a/b", "the host is missing"),
        ("a//b", "the namespace is missing"),
        ("a:b:c", "the model 'a:b' has ':'"),
        ("h/n/m/x", "the host 'h/n' has '/'"),
        ("http://m", "the namespace is missing"),
        ("http://n/m", "the host 'http:/' has '/'"),
        ("://h/n/m", "the scheme '' is not https or http"),
        ("http:///n/m", "the host is missing"),
        ("ftp://h/n/m", "the scheme 'ftp' is not https or http"),
        ("file:///etc/passwd", "the host is missing"),
        ("m@sha256:" + "0" * 64, "the model 'm@sha256' has '@'"),
        (" m", "the model ' m' has ' '"),
        ("m\n", "the model 'm\\n' has '\\n'"),
        ("m\0", "the model 'm\\x00' has '\\x00'"),
        ("..", "must begin with a letter"),
        (".", "must begin with a letter"),
        ("../m", "the namespace '..' has '.'"),
        ("../../m", "the host '..' must begin"),
        ("h/n/..", "the model '..' must begin"),
        ("m:..", "the tag '..' must begin"),
        ("m:.hidden", "must begin"),
        ("-m", "the model '-m' must begin"),
        ("/etc/passwd", "the host is missing"),
        ("./model.gguf", "the namespace '.' has '.'"),
        ("~/m", "the namespace '~' has '~'"),
        ("C:\\models\\m", "has '\\\\'"),
        ("a\\b", "has '\\\\'"),
        ("a\\..\\b", "has '\\\\'"),
        ("%2e%2e/m", "has '%'"),
        ("m\u0131", "has '\\u0131'"),
        ("\u212aat", "has '\\u212a'"),
        ("\uff0e\uff0e/m", "has '\\uff0e'"),
        ("\ud800", "has '\\ud800'"),
        ("m\u0661", "has '\\u0661'"),
        ("m" * 81, "the model has 81 characters, at most 80 are allowed"),
        ("n" * 81 + "/m", "the namespace has 81 characters"),
        ("m:" + "t" * 81, "the tag has 81 characters"),
        ("h" * 351 + "/n/m", "the host has 351 characters, at most 350"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """Catches a path, an illegal character or a digest that passes as a name, and a useless message."""
    with pytest.raises(InvalidModelName) as caught:
        ModelName.parse(text)
    assert reason in str(caught.value)
    assert str(caught.value).startswith("invalid model name ")
    assert "looks like llama3.2" in str(caught.value)
    assert str(caught.value).isascii()
    assert caught.value.name == text


@pytest.mark.parametrize("value", [None, 3, b"m", ["m"], Path("m"), {}])
def test_not_a_text(value: Any) -> None:
    """Catches a Python error in place of ours."""
    with pytest.raises(InvalidModelName):
        ModelName.parse(value)
    for part in ("host", "namespace", "model", "tag", "scheme"):
        with pytest.raises(InvalidModelName):
            ModelName(**({"model": "m"} | {part: value}))


def test_huge_text() -> None:
    """Catches a message as long as the text, and time that grows faster than it."""
    start = time.perf_counter()
    for text in ("m" * 10_000_000, "/" * 10_000_000, ":" * 10_000_000, "a/" * 5_000_000 + "b"):
        with pytest.raises(InvalidModelName) as caught:
            ModelName.parse(text)
        assert len(str(caught.value)) < 500
    assert time.perf_counter() - start < 1.0


def test_no_way_around_the_check() -> None:
    """Catches a bad part by the constructor, by replace, or by a message from another process."""
    name = ModelName(model="m")
    assert name.full == "registry.ollama.ai/library/m:latest"
    for bad in ({"model": ".."}, {"tag": "a/b"}, {"host": ""}, {"namespace": "a.b"}, {"scheme": "ftp"}):
        with pytest.raises(InvalidModelName):
            msgspec.structs.replace(name, **bad)
    with pytest.raises(AttributeError):
        name.model = ".."  # type: ignore[misc]
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"model":"../x"}', type=ModelName)
    for again in (copy.copy(name), pickle.loads(pickle.dumps(name))):
        assert again == name
        assert again.full == name.full


def test_case() -> None:
    """Catches names that are two things in one place and one in another: equality, hash, sets."""
    one, other = ModelName.parse("http://H.co/N/Foo:Q4"), ModelName.parse("h.CO/n/fOO:q4")
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1
    assert one.key == other.key == ("h.co", "n", "foo", "q4")
    assert one.full == "H.co/N/Foo:Q4"
    assert one != ModelName.parse("h.co/n/foo:q5")
    assert one != "h.co/n/foo:q4"


FIRST = "abzABZ059_"
PART = {
    "host": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}", fullmatch=True),
    "namespace": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", fullmatch=True),
    "model": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", fullmatch=True),
    "tag": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", fullmatch=True),
}
NAMES = st.builds(ModelName, scheme=st.sampled_from(["https", "http"]), **PART)


@given(NAMES)
def test_round_trip(name: ModelName) -> None:
    """Catches a name whose rendering is read as another name."""
    for text in (name.full, name.short, f"{name.scheme}://{name.full}"):
        again = ModelName.parse(text)
        assert again == name
        assert again.model == name.model
        assert again.tag == name.tag
    assert ModelName.parse(name.full).path_parts == name.path_parts
    assert ModelName.parse(f"{name.scheme}://{name.full}").scheme == name.scheme
    assert ModelName.parse(name.full.swapcase()) == name


@given(st.text(max_size=60) | st.text(alphabet="ab.:/\\@~-_\0 %", max_size=20))
def test_any_text(text: str) -> None:
    """Catches an error of another kind, and a name that leaves the directory that it is put into."""
    try:
        name = ModelName.parse(text)
    except InvalidModelName:
        return
    root = Path("/models/manifests")
    path = root.joinpath(*name.path_parts)
    assert path.is_relative_to(root)
    assert path.parts == root.parts + name.path_parts
    assert path.resolve() == path
    assert len(name.path_parts) == 4
    assert all(part[0].isalnum() or part[0] == "_" for part in name.path_parts)
    assert ModelName.parse(name.full) == name
