"""Many clients of one server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .client import ask
from .live import LiveServer

PROMPTS = [f"What is {number} plus {number % 7}?" for number in range(1, 11)]
PROMPTS += [
    "Why is the sky blue?",
    "How does a rainbow form?",
    "Tell me a story.",
    "What is ice?",
    "Who are you?",
]
PROMPTS += [
    "Tell me a joke.",
    "Name three colors.",
    "Good night!",
    "How do birds fly?",
    "What does a cow eat?",
]
EXACT = {"kv_cache_type": "f32", "flash_attention": False}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_in_32_bits: Path) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("many")) as server:
        data = tiny_in_32_bits.read_bytes()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert ask(server.port, "POST", f"/api/blobs/{digest}", data).status == 201
        body = {"model": "precise", "files": {"precise.gguf": digest}, "parameters": EXACT, "stream": False}
        assert server.ask("/api/create", body).json == {"status": "success"}
        yield server


def texts(server: LiveServer, prompt: str, index: int) -> list[str]:
    """The pieces of a streamed answer; every other one is sampled."""
    options = {"seed": index, "temperature": 0.7 if index % 2 else 0, "num_predict": 100}
    body = {"model": "precise", "messages": [{"role": "user", "content": prompt}], "options": options}
    reply = server.ask("/api/chat", body)
    assert reply.status == 200, reply.body
    lines: list[dict[str, Any]] = [json.loads(line) for line in reply.body.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True], lines[-1]
    return [line["message"]["content"] for line in lines]


def test_twenty_streams(server: LiveServer) -> None:
    """Catches answers that get mixed up, stop early, or change because others are computed beside them."""
    alone = ["".join(texts(server, prompt, index)) for index, prompt in enumerate(PROMPTS)]
    with ThreadPoolExecutor(20) as pool:
        work = [pool.submit(texts, server, prompt, index) for index, prompt in enumerate(PROMPTS)]
        together = ["".join(future.result()) for future in work]
    assert together == alone
    assert len(set(alone)) > 10


def test_a_cold_model_is_loaded_once(server: LiveServer) -> None:
    """Catches a load for each of many clients who come at once."""
    for name in server.names():
        server.unload(name)
    loads = server.log.read_text().count("is loaded")
    with ThreadPoolExecutor(20) as pool:
        work = [pool.submit(texts, server, prompt, index) for index, prompt in enumerate(PROMPTS)]
        assert all(future.result() for future in work)
    assert server.log.read_text().count("is loaded") == loads + 1
    assert len(server.runners()) == 1


def test_a_larger_context_waits_for_its_turn(server: LiveServer) -> None:
    """Catches a reload that ends running requests, or a context smaller than asked for."""
    server.unload("precise")
    small = {"model": "precise", "prompt": "Tell me a story.", "stream": False}
    with ThreadPoolExecutor(8) as pool:
        work = [
            pool.submit(
                server.ask, "/api/generate", {**small, "options": {"num_ctx": n_ctx, "num_predict": 60}}
            )
            for n_ctx in (256, 512, 256, 1024, 256, 512, 1024, 256)
        ]
        for future in work:
            reply = future.result()
            assert reply.status == 200, reply.body
            assert reply.json["eval_count"] > 1
    (model,) = server.ask("/api/ps").json["models"]
    assert model["context_length"] == 1024
    assert len(server.runners()) == 1


def test_a_full_queue(tmp_path: Path) -> None:
    """Catches requests that pile up without bound, and a refusal that clients do not recognize."""
    limits = {"OLLAMA_MAX_QUEUE": "4", "OLLAMA_NUM_PARALLEL": "1"}
    with LiveServer(tmp_path, limits) as server, ThreadPoolExecutor(20) as pool:
        assert server.generate("Hi")["done"]
        body = {"model": "tiny", "prompt": "Tell me a story.", "stream": False}
        body["options"] = {"ignore_eos": True, "num_predict": 300}
        replies = [
            future.result() for future in [pool.submit(server.ask, "/api/generate", body) for _ in range(20)]
        ]
        statuses = [reply.status for reply in replies]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 5
        busy = next(reply for reply in replies if reply.status == 503)
        assert busy.json["error"] == "server busy, please try again.  maximum pending requests exceeded"
        assert server.generate("Hi")["done"]
