"""Wrong input of every kind: a clear error, and a server that lives."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from pyollama.engine import OPTIONS
from pyollama.store import Store

from .client import ask
from .live import LiveServer

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("wrong")) as server:
        yield server
        assert "12" in server.generate("What is 7 plus 5?")["response"]
        log = server.log.read_text()
        assert "Traceback" not in log, log


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/api/create"])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "missing request body"),
        (b"  \n", "missing request body"),
        (b"hello", "not valid JSON"),
        (b'{"model": "tiny"', "not valid JSON"),
        (b"[1, 2]", "JSON object"),
        (b'"tiny"', "JSON object"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"a":' * 100_000, ""),
        (b'{"model": 5}', "model"),
        (b'{"model": "tiny", "stream": "yes"}', "stream"),
        (b'{"model": "tiny", "keep_alive": NaN, "prompt": "x"}', ""),
    ],
)
def test_bodies(server: LiveServer, path: str, body: bytes, text: str) -> None:
    """Catches a body that is half understood, or an error that does not say what is wrong."""
    reply = ask(server.port, "POST", path, body)
    assert 400 <= reply.status < 500, reply
    assert text in reply.json["error"]


def test_bodies_that_are_fine(server: LiveServer) -> None:
    """Catches a strictness that clients do not expect."""
    body = b'{"MODEL": "tiny", "Prompt": "Hi", "STREAM": false, "system": null, "unknown": 1} {"more": 1}'
    reply = ask(server.port, "POST", "/api/generate", body)
    assert reply.status == 200, reply
    assert reply.json["model"] == "tiny"
    again = b'{"model": "nobody", "model": " TINY ", "prompt": "Hi", "stream": false}'
    assert ask(server.port, "POST", "/api/generate", again).status == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("generate", {}, 404, "model '' not found"),
        ("generate", {"model": "a b"}, 400, "invalid model name"),
        ("generate", {"model": "../../etc/passwd"}, 400, "invalid model name"),
        ("generate", {"model": "nobody"}, 404, "model 'nobody' not found"),
        ("chat", {}, 400, "model is required"),
        ("chat", {"model": "/etc/passwd"}, 400, "invalid model name"),
        ("chat", {"model": "nobody:latest"}, 404, "model 'nobody:latest' not found"),
        ("generate", {"model": "x:cloud"}, 403, "ollama cloud is disabled: remote model is unavailable"),
        ("generate", {"model": "tiny:cloud:local"}, 400, "use either :local or :cloud, not both"),
        ("generate", {"model": "tiny", "top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
        ("chat", {"model": "nobody", "top_logprobs": -1}, 400, "top_logprobs must be between 0 and 20"),
        ("generate", {"model": "tiny", "prompt": 5}, 400, "prompt"),
        ("generate", {"model": "tiny", "prompt": "x", "context": "abc"}, 400, "context"),
        ("generate", {"model": "tiny", "prompt": "x", "context": [10**9]}, 400, "1000000000"),
        ("generate", {"model": "tiny", "prompt": "x", "context": [-1]}, 400, "-1"),
        ("generate", {"model": "tiny", "prompt": "x", "raw": True, "system": "y"}, 400, "raw mode does not"),
        (
            "generate",
            {"model": "tiny", "prompt": "x", "suffix": "y"},
            400,
            "tiny:latest does not support insert",
        ),
        ("generate", {"model": "tiny", "prompt": "x", "images": ["aaaa"]}, 400, "vision"),
        ("generate", {"model": "tiny", "prompt": "x", "template": "{{ .Prompt }}"}, 400, "template"),
        (
            "generate",
            {"model": "tiny", "prompt": "x", "think": True},
            400,
            '"tiny" does not support thinking',
        ),
        ("generate", {"model": "tiny", "prompt": "x", "think": "much"}, 400, 'invalid think value: "much"'),
        ("generate", {"model": "tiny", "prompt": "x", "think": 5}, 400, "think must be a boolean or string"),
        ("generate", {"model": "tiny", "prompt": "x", "format": "xml"}, 400, 'invalid format: "\\"xml\\""'),
        ("generate", {"model": "tiny", "prompt": "x", "format": 5}, 400, "invalid format"),
        ("generate", {"model": "tiny", "prompt": "x", "format": {"type": "nonsense"}}, 400, "nonsense"),
        ("generate", {"model": "tiny", "prompt": "x", "keep_alive": "10"}, 400, "missing unit in duration"),
        ("generate", {"model": "tiny", "prompt": "x", "keep_alive": "abc"}, 400, "invalid duration"),
        ("generate", {"model": "tiny", "prompt": "x", "keep_alive": True}, 400, "Unsupported type: 'bool'"),
        ("generate", {"model": "tiny", "prompt": "x\ud800"}, 400, ""),
        ("chat", {"model": "tiny", "messages": "Hello"}, 400, "messages"),
        ("chat", {"model": "tiny", "messages": ["Hello"]}, 400, "messages"),
        ("chat", {"model": "tiny", "messages": [{"role": "king", "content": "x"}]}, 400, "king"),
        ("chat", {"model": "tiny", "messages": [{"role": "user", "content": 5}]}, 400, "content"),
        (
            "chat",
            {"model": "tiny", "messages": [{"role": "user", "content": "x", "images": ["a"]}]},
            400,
            "images",
        ),
        ("chat", {"model": "tiny", "messages": HELLO, "tools": [{"type": "function"}]}, 400, "tools"),
        ("chat", {"model": "tiny", "messages": HELLO, "options": [1]}, 400, "options"),
        ("create", {}, 400, "model name"),
        ("create", {"model": "new"}, 400, "neither 'from' or 'files' was specified"),
        ("create", {"model": "new", "from": "nobody"}, 400, "file does not exist"),
        (
            "create",
            {"model": "new", "files": {"../x.gguf": f"sha256:{'0' * 64}"}},
            400,
            "file path must be relative",
        ),
        ("create", {"model": "new", "files": {"x.gguf": "sha256:0"}}, 400, "digest"),
        ("create", {"model": "new", "files": {"x.gguf": f"sha256:{'0' * 64}"}}, 400, "blob"),
        ("create", {"model": "new", "from": "tiny", "quantize": "q4_0"}, 400, "quantize"),
        ("create", {"model": "new", "from": "tiny", "parameters": {"temperature": -1}}, 400, "temperature"),
    ],
)
def test_requests(server: LiveServer, path: str, body: dict[str, Any], status: int, text: str) -> None:
    """Catches a wrong request that is carried out, or whose error has another text than clients know."""
    reply = server.ask(f"/api/{path}", body)
    assert (reply.status, text in reply.json["error"]) == (status, True), reply


def beyond(name: str) -> list[Any]:
    """Values that the option must refuse."""
    spec = OPTIONS[name]
    values: list[Any] = [5] if name == "logit_bias" else [{"a": 1}]
    for limit in (spec.low - 1, spec.high * 2 + 1):
        if math.isfinite(limit):
            values += [limit, "1", [1]]
    if spec.kind in ("boolean", "string", "strings"):
        values.append(5)
    return values


@pytest.mark.parametrize("name", OPTIONS)
def test_options_out_of_range(server: LiveServer, name: str) -> None:
    """Catches an option whose bad value reaches native code, or an error that does not name it."""
    for value in beyond(name):
        reply = server.ask("/api/generate", {"model": "tiny", "prompt": "x", "options": {name: value}})
        assert reply.status == 400, (name, value, reply)
        assert name in reply.json["error"]


@pytest.mark.parametrize("name", ["vocab_only", "embedding_only"])
def test_options_that_contradict_the_request(server: LiveServer, name: str) -> None:
    """Catches a model that is loaded without what generating needs."""
    reply = server.ask("/api/generate", {"model": "tiny", "prompt": "x", "options": {name: True}})
    assert (reply.status, name in reply.json["error"]) == (400, True)


def put(server: LiveServer, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert ask(server.port, "POST", f"/api/blobs/{digest}", data).status in (200, 201)
    return digest


def test_files_that_are_no_models(server: LiveServer) -> None:
    """Catches a broken file that becomes a model, or a runner that has to find out."""
    whole = Store.default().find("tiny").model_path.read_bytes()
    cases = [
        (b"hello", "not in GGUF format"),
        (b"GGUF", ""),
        (whole[:1_000_000], "not complete"),
        (whole[:100], ""),
        (b"GGUF" + b"\xff" * 1000, ""),
    ]
    for data, text in cases:
        body = {"model": "broken", "files": {"broken.gguf": put(server, data)}, "stream": False}
        reply = server.ask("/api/create", body)
        assert reply.status == 400, (data[:20], reply)
        assert text in reply.json["error"], reply
    assert "broken:latest" not in reply.body.decode()
    assert [model["name"] for model in server.ask("/api/tags").json["models"]] == ["tiny:latest"]


def test_digests(server: LiveServer) -> None:
    """Catches a blob under a digest that is not its own, and a path in the place of a digest."""
    wrong = f"sha256:{'0' * 64}"
    reply = ask(server.port, "POST", f"/api/blobs/{wrong}", b"content")
    right = f"sha256:{hashlib.sha256(b'content').hexdigest()}"
    assert reply.status == 400
    assert reply.json["error"] == f'digest mismatch, expected "{wrong}", got "{right}"'
    assert ask(server.port, "HEAD", f"/api/blobs/{wrong}").status == 404
    assert ask(server.port, "HEAD", f"/api/blobs/{right}").status == 200
    for bad in ("sha256:123", "md5:abc", f"sha256:{'g' * 64}", f"sha512:{'0' * 64}", "..", "%2e%2e%2fetc"):
        for method in ("HEAD", "POST"):
            assert ask(
                server.port, method, f"/api/blobs/{bad}", b"x" if method == "POST" else None
            ).status in (400, 404)


def test_garbage_manifests(server: LiveServer) -> None:
    """Catches one broken manifest that hides the other models, or a stack trace for whoever names it."""
    folder = server.models / "manifests" / "registry.ollama.ai" / "library"
    contents = {
        "empty": b"",
        "text": b"hello",
        "list": b"[]",
        "traversal": json.dumps(
            {
                "schemaVersion": 2,
                "layers": [{"mediaType": "x", "digest": "sha256:../../etc/passwd", "size": 1}],
            }
        ).encode(),
        "missing": json.dumps(
            {
                "schemaVersion": 2,
                "layers": [
                    {
                        "mediaType": "application/vnd.ollama.image.model",
                        "digest": f"sha256:{'1' * 64}",
                        "size": 1,
                    }
                ],
            }
        ).encode(),
        "deep": b"[" * 100_000,
    }
    for name, content in contents.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "latest").write_bytes(content)
    try:
        assert "tiny:latest" in {model["name"] for model in server.ask("/api/tags").json["models"]}
        for name in contents:
            reply = server.ask("/api/generate", {"model": name, "prompt": "x"})
            assert reply.status == 500, reply
            assert name in reply.json["error"]
    finally:
        for name in contents:
            (folder / name / "latest").unlink()
