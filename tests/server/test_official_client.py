"""The official Python client, unmodified."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from .live import LiveServer

MESSAGES = [{"role": "user", "content": "What is 7 plus 5?"}]
GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("official")) as server:
        yield server


@pytest.fixture
def client(server: LiveServer) -> ollama.Client:
    return ollama.Client(server.url)


def test_generate_and_chat(client: ollama.Client) -> None:
    """Catches an answer that the client's own types refuse."""
    whole = client.generate("tiny", "What is 7 plus 5?", options=GREEDY)
    assert "12" in whole.response
    pieces = list(client.generate("tiny", "What is 7 plus 5?", options=GREEDY, stream=True))
    assert "".join(piece.response for piece in pieces) == whole.response
    assert pieces[-1].done and pieces[-1].eval_count == whole.eval_count
    chat = client.chat("tiny", MESSAGES, options=GREEDY)
    assert chat.message.role == "assistant"
    assert "12" in (chat.message.content or "")
    streamed = client.chat("tiny", MESSAGES, options=GREEDY, stream=True)
    assert "".join(piece.message.content or "" for piece in streamed) == chat.message.content


def test_list_and_ps(client: ollama.Client) -> None:
    """Catches lists that the client cannot read."""
    assert [model.model for model in client.list().models] == ["tiny:latest"]
    client.generate("tiny", keep_alive="10m")
    (running,) = client.ps().models
    assert (running.model, running.size_vram) == ("tiny:latest", 0)
    assert running.expires_at is not None and running.size is not None and running.size > 1_000_000
    client.generate("tiny", keep_alive=0)
    assert client.ps().models == []


def test_create_from_a_file(client: ollama.Client, server: LiveServer, tiny_in_32_bits: Path) -> None:
    """Catches an upload or a create that does not end in a model."""
    digest = client.create_blob(tiny_in_32_bits)
    assert digest == f"sha256:{hashlib.sha256(tiny_in_32_bits.read_bytes()).hexdigest()}"
    stream = client.create("precise", files={"model.gguf": digest}, stream=True)
    statuses = [progress.status for progress in stream]
    assert statuses[0] == "parsing GGUF"
    assert statuses[-2:] == ["writing manifest", "success"]
    assert "12" in client.chat("precise", MESSAGES, options=GREEDY).message["content"]
    names = {model.model for model in client.list().models}
    assert names == {"tiny:latest", "precise:latest"}


def test_create_from_a_model(client: ollama.Client) -> None:
    """Catches a system message or parameters that the new model does not have."""
    made = client.create("pirate", from_="tiny", system="Speak as a pirate.", parameters={"temperature": 0})
    assert made.status == "success"
    pirate = client.chat("pirate", MESSAGES).message.content
    assert [model.model for model in client.ps().models] == [
        "pirate:latest",
        "precise:latest",
    ]  # tiny's runner
    asked = [{"role": "system", "content": "Speak as a pirate."}, *MESSAGES]
    assert pirate == client.chat("tiny", asked, options=GREEDY).message.content
    assert pirate != client.chat("tiny", MESSAGES, options=GREEDY).message.content


def test_errors(client: ollama.Client) -> None:
    """Catches an error that the client does not recognize."""
    with pytest.raises(ollama.ResponseError, match="model 'nobody' not found") as caught:
        client.chat("nobody", MESSAGES)
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="temperature") as caught:
        list(client.generate("tiny", "Hi", options={"temperature": -1}, stream=True))
    assert caught.value.status_code == 400


def test_async_twin(server: LiveServer) -> None:
    """Catches what only the asynchronous client does."""

    async def use() -> None:
        client = ollama.AsyncClient(server.url)
        whole = await client.generate("tiny", "What is 7 plus 5?", options=GREEDY)
        pieces = [piece async for piece in await client.chat("tiny", MESSAGES, options=GREEDY, stream=True)]
        assert "".join(piece.message.content or "" for piece in pieces) == whole.response
        assert {model.model for model in (await client.list()).models} >= {"tiny:latest"}
        assert {model.model for model in (await client.ps()).models} >= {"tiny:latest"}
        made = await client.create("copy", from_="tiny", system="Be brief.")
        assert made.status == "success"

    asyncio.run(use())
