"""The examples of the 2024 API document for generate and chat, sent as curl sends them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .client import ask
from .live import LiveServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SKY = "Why is the sky blue?"
ALL_OPTIONS = """{
  "num_keep": 5, "seed": 42, "num_predict": 100, "top_k": 20, "top_p": 0.9, "tfs_z": 0.5, "typical_p": 0.7,
  "repeat_last_n": 33, "temperature": 0.8, "repeat_penalty": 1.2, "presence_penalty": 1.5,
  "frequency_penalty": 1.0, "mirostat": 1, "mirostat_tau": 0.8, "mirostat_eta": 0.6, "penalize_newline": true,
  "stop": ["\\n", "user:"], "numa": false, "num_ctx": 1024, "num_batch": 2, "num_gqa": 1, "num_gpu": 1,
  "main_gpu": 0, "low_vram": false, "f16_kv": true, "vocab_only": false, "use_mmap": true, "use_mlock": false,
  "embedding_only": false, "rope_frequency_base": 1.1, "rope_frequency_scale": 0.8, "num_thread": 8
}"""
METRICS = {
    *("total_duration", "load_duration", "prompt_eval_count"),
    *("prompt_eval_duration", "eval_count", "eval_duration"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("seed")) as server:
        yield server


def curl(server: LiveServer, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of an answer: one for each line."""
    reply = ask(server.port, "POST", path, json.dumps(body).encode(), FORM)
    assert reply.status == 200, reply.body
    lines = reply.body.splitlines()
    streamed = reply.headers["Content-Type"] == "application/x-ndjson"
    assert streamed or (
        reply.headers["Content-Type"] == "application/json; charset=utf-8" and len(lines) == 1
    )
    assert reply.body.endswith(b"\n") is streamed
    return [json.loads(line) for line in lines]


def text(lines: list[dict[str, Any]]) -> str:
    return "".join(line.get("response", line.get("message", {}).get("content")) for line in lines)


def check_stream(lines: list[dict[str, Any]]) -> dict[str, Any]:
    *pieces, last = lines
    assert pieces
    assert all(
        line["done"] is False and line["model"] == "tiny" and "done_reason" not in line for line in pieces
    )
    assert all(not METRICS & set(line) for line in pieces)
    assert last["done"] is True
    assert last["done_reason"] in ("stop", "length")
    assert set(last) >= METRICS
    assert last["created_at"].endswith("Z")
    assert last["total_duration"] >= last["load_duration"] + last["eval_duration"]
    return last


def test_generate_streaming(server: LiveServer) -> None:
    """Catches wrong shapes of lines, and counts that are not true."""
    lines = curl(server, "/api/generate", {"model": "tiny", "prompt": SKY})
    last = check_stream(lines)
    assert last["response"] == ""
    assert all(isinstance(token, int) for token in last["context"])
    assert len(last["context"]) == last["prompt_eval_count"] + last["eval_count"]
    assert last["eval_count"] / last["eval_duration"] * 1e9 > 1
    assert "ky" in text(lines)


def test_generate_whole(server: LiveServer) -> None:
    """Catches stream: false that streams, or lacks something of the last line."""
    (whole,) = curl(server, "/api/generate", {"model": "tiny", "prompt": SKY, "stream": False})
    assert whole["done"] is True
    assert whole["response"]
    assert set(whole) >= METRICS | {"context", "done_reason", "model", "created_at"}


def test_generate_json(server: LiveServer) -> None:
    """Catches an answer that is no JSON although it was asked for."""
    prompt = "What color is the sky at different times of the day? Respond using JSON"
    body = {"model": "tiny", "prompt": prompt, "format": "json", "stream": False}
    (whole,) = curl(server, "/api/generate", {**body, "options": {"num_predict": 400, "temperature": 0}})
    if whole["done_reason"] == "stop":
        json.loads(whole["response"])
    schema = {"type": "object", "properties": {"blue": {"type": "boolean"}}, "required": ["blue"]}
    (whole,) = curl(server, "/api/generate", {**body, "format": schema})
    assert isinstance(json.loads(whole["response"])["blue"], bool)


def test_generate_raw(server: LiveServer) -> None:
    """Catches a template in raw mode, or a context that could not be used."""
    body = {"model": "tiny", "prompt": f"[INST] {SKY} [/INST]", "raw": True, "stream": False}
    (whole,) = curl(server, "/api/generate", {**body, "options": {"num_predict": 20}})
    assert "context" not in whole
    (with_template,) = curl(server, "/api/generate", {**body, "raw": False})
    assert whole["prompt_eval_count"] < with_template["prompt_eval_count"]


@pytest.mark.parametrize("seed", [123, 101])
def test_repeatable(server: LiveServer, seed: int) -> None:
    """Catches a random seed that is not used."""
    options = {"seed": seed, "temperature": 0}
    generate = {"model": "tiny", "prompt": SKY, "options": options}
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "Hello!"}], "options": options}
    for path, body in (("/api/generate", generate), ("/api/chat", chat)):
        first, second = curl(server, path, body), curl(server, path, body)
        assert len(first) > 1
        assert text(first) == text(second) != ""


def test_all_options(server: LiveServer) -> None:
    """Catches an option of the document that is refused or without effect."""
    options = json.loads(ALL_OPTIONS)
    assert len(options) == 32
    body = {"model": "tiny", "prompt": SKY, "stream": False, "options": options}
    (whole,) = curl(server, "/api/generate", body)
    assert whole["eval_count"] <= 100
    assert "\n" not in whole["response"]
    (model,) = server.ask("/api/ps").json["models"]
    assert model["context_length"] >= 1024


def test_only_the_model(server: LiveServer) -> None:
    """Catches a request that should only load or unload, and does something else."""
    for path, empty in (("/api/generate", {}), ("/api/chat", {"messages": []})):
        (loaded,) = curl(server, path, {"model": "tiny", **empty})
        assert (loaded["done"], loaded["done_reason"]) == (True, "load")
        assert not METRICS & set(loaded) and "context" not in loaded
        assert server.names() == ["tiny"]
        (unloaded,) = curl(server, path, {"model": "tiny", **empty, "keep_alive": 0})
        assert (unloaded["done"], unloaded["done_reason"]) == (True, "unload")
        assert server.names() == []
        curl(server, path, {"model": "tiny", **empty, "keep_alive": 0})  # it is not loaded, and that is fine


def test_chat_streaming(server: LiveServer) -> None:
    """Catches wrong shapes of a chat."""
    lines = curl(server, "/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": SKY}]})
    last = check_stream(lines)
    assert last["message"] == {"role": "assistant", "content": ""}
    assert "context" not in last
    assert text(lines)


def test_chat_whole(server: LiveServer) -> None:
    """Catches a message that is not whole."""
    messages = [{"role": "user", "content": SKY}]
    (whole,) = curl(server, "/api/chat", {"model": "tiny", "messages": messages, "stream": False})
    assert whole["message"]["role"] == "assistant"
    assert whole["message"]["content"]
    assert set(whole) >= METRICS


def test_chat_with_history(server: LiveServer) -> None:
    """Catches a history that does not reach the model."""
    messages = [
        {"role": "user", "content": "My name is Anna."},
        {"role": "assistant", "content": "Nice to meet you, Anna!"},
        {"role": "user", "content": "What is my name?"},
    ]
    body = {"model": "tiny", "messages": messages, "options": {"temperature": 0}}
    assert "Anna" in text(curl(server, "/api/chat", body))


def test_context_is_memory(server: LiveServer) -> None:
    """Catches a context that is not what the model has seen and said."""
    greedy = {"stream": False, "options": {"temperature": 0}}
    (first,) = curl(server, "/api/generate", {"model": "tiny", "prompt": "My name is Anna.", **greedy})
    body = {"model": "tiny", "prompt": "What is my name?", "context": first["context"], **greedy}
    (second,) = curl(server, "/api/generate", body)
    assert "Anna" in second["response"]
    assert second["context"][: len(first["context"])] == first["context"]
    (without,) = curl(server, "/api/generate", {**body, "context": []})
    assert "Anna" not in without["response"]


@pytest.mark.parametrize("value", ["5m", 10, -1, 0, "1h30m", "-1s", 0.5])
def test_keep_alive(server: LiveServer, value: Any) -> None:
    """Catches a keep_alive that is read wrongly."""
    curl(server, "/api/generate", {"model": "tiny", "prompt": "Hi", "stream": False, "keep_alive": value})
    models = server.ask("/api/ps").json["models"]
    if value == 0:
        assert models == []
    else:
        (model,) = models
        assert model["expires_at"] > "2026"
        assert (model["expires_at"] > "2300") is (str(value).startswith("-"))


def test_system(server: LiveServer) -> None:
    """Catches a system message that does not reach the model."""
    body = {"model": "tiny", "prompt": SKY, "stream": False, "options": {"temperature": 0}}
    (plain,) = curl(server, "/api/generate", body)
    (pirate,) = curl(server, "/api/generate", {**body, "system": "Speak as a pirate."})
    assert pirate["prompt_eval_count"] > plain["prompt_eval_count"]
    assert pirate["response"] != plain["response"]


def test_logprobs(server: LiveServer) -> None:
    """Catches log-probabilities that do not belong to the text."""
    body = {"model": "tiny", "prompt": SKY, "stream": False, "logprobs": True, "top_logprobs": 3}
    (whole,) = curl(server, "/api/generate", {**body, "options": {"temperature": 0}})
    entries = whole["logprobs"]
    assert bytes(byte for entry in entries for byte in entry["bytes"]).decode() == whole["response"]
    for entry in entries:
        assert entry["logprob"] <= 0
        assert entry["top_logprobs"][0]["token"] == entry["token"]
        assert len(entry["top_logprobs"]) == 3


def test_truncated(server: LiveServer) -> None:
    """Catches a prompt that is cut in silence, or an error where cutting was asked for."""
    messages = [{"role": "user", "content": f"Message {index}."} for index in range(400)]
    body = {"model": "tiny", "messages": messages, "stream": False, "options": {"num_predict": 5}}
    (whole,) = curl(server, "/api/chat", body)
    assert 0 < whole["truncated"]["messages"] < 400
    assert whole["truncated"]["tokens"] > 0
    assert whole["prompt_eval_count"] <= 2048
    (long,) = curl(server, "/api/generate", {**body, "prompt": "word " * 5000})
    assert long["truncated"]["tokens"] > 0
    for refused in (
        {"truncate": False},
        {"shift": False, "messages": [{"role": "user", "content": "word " * 5000}]},
    ):
        reply = server.ask("/api/chat", {**body, **refused})
        assert reply.status == 400, reply.body
        assert "context" in reply.json["error"]
