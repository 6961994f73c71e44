"""What one client does must not reach another."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .client import post
from .live import LiveServer, wait_until

STORY = {"model": "tiny", "prompt": "Tell me a story.", "stream": False}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("neighbours")) as server:
        yield server


@pytest.mark.parametrize(
    "options",
    [{"num_predict": 3}, {"grammar": 'root ::= "meow"'}, {"stop": ["e"]}, {"num_ctx": 64}, {"num_batch": 1}],
)
def test_options_are_of_one_request(server: LiveServer, options: dict[str, Any]) -> None:
    """Catches options of the request that loads a model becoming everybody's."""
    server.unload("tiny")
    greedy = {"temperature": 0}
    usual = server.ask("/api/generate", {**STORY, "options": greedy}).json["response"]
    server.unload("tiny")
    assert server.ask("/api/generate", {**STORY, "options": {**options, "num_predict": 3}}).status == 200
    assert server.ask("/api/generate", {**STORY, "options": greedy}).json["response"] == usual
    with_format = server.ask("/api/generate", {**STORY, "format": "json", "options": {"num_predict": 5}})
    assert with_format.status == 200, with_format.body


def test_a_context_beyond_the_trained_one(server: LiveServer) -> None:
    """Catches an answer that depends on what was loaded before."""
    body = {**STORY, "options": {"num_ctx": 100_000, "num_predict": 3}}
    assert server.generate("Hi")["done"]
    assert server.ask("/api/generate", body).status == 200
    server.unload("tiny")
    assert server.ask("/api/generate", body).status == 200
    (model,) = server.ask("/api/ps").json["models"]
    assert model["context_length"] == 2048


def test_names_with_the_same_files(server: LiveServer) -> None:
    """Catches a model that is used and not listed."""
    made = server.ask(
        "/api/create", {"MODEL": "mario", "From": "tiny", "system": "Be Mario.", "stream": False}
    )
    assert made.json == {"status": "success"}
    for model in ("mario", "tiny"):
        assert server.ask("/api/generate", {**STORY, "model": model}).status == 200
    assert set(server.names()) >= {"mario", "tiny"}
    assert len(server.runners()) == 1


def test_a_flood_of_requests_behind_one(server: LiveServer) -> None:
    """Catches a client that goes away unnoticed, because nobody reads what it has sent on and on."""
    endless = {"ignore_eos": True, "num_predict": 2**31 - 1}
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(post("/api/generate", {**STORY, "options": endless}))
    time.sleep(0.2)
    try:
        connection.sendall(b"x" * 200_000)
    except OSError:
        pass  # cut off already
    connection.close()
    server.ask("/api/generate", {"model": "tiny", "keep_alive": 0})
    wait_until(lambda: not server.names(), within=5)


def test_limits_of_the_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Catches limits that a request can pass, and a queue of none that serves nobody."""
    limits = {"OLLAMA_NUM_PARALLEL": "2", "OLLAMA_MAX_QUEUE": "0"}
    with LiveServer(tmp_path_factory.mktemp("limits"), limits) as server:
        reply = server.ask("/api/generate", {**STORY, "options": {"num_parallel": 256, "num_predict": 3}})
        assert reply.status == 200, reply.body
        (model,) = server.ask("/api/ps").json["models"]
        assert model["num_parallel"] == 2


def test_numbers_that_are_none(server: LiveServer) -> None:
    """Catches values that JSON does not have, and a model that stays for ever because of one."""
    for text in ("Infinity", "NaN", "-Infinity"):
        body = json.dumps({**STORY, "keep_alive": 0}).replace(": 0", f": {text}").encode()
        assert server.ask("/api/generate", body).status == 400
