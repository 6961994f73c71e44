"""Tokens per second through HTTP: the server beside llama-bench, and many streams at once beside llama-server.

    python -m benchmarks.http                  # 135M and 1B shapes, the embedded model
    python -m benchmarks.http tiny --runs 3
    python -m benchmarks.http --json FILE

Each server is started here, with a model directory of its own. One stream is measured by the client's clock from
the first line to the last, so that what the server adds to each token counts. Streams at once, of the embedded model
only, are measured from the first request that is sent to the end of the last answer; both servers have room for as
many, the same context and the same number of threads. Runs alternate, the medians are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.decode import TOKENS
from benchmarks.peers import llama_bench, llama_server
from benchmarks.shapes import SHAPES, model_file
from pyollama.engine.sizing import thread_count
from pyollama.store import Store

STREAMS = (1, 16)
STREAM_TOKENS = 256
STREAM_CONTEXT = 1024  # tokens of each
LIMIT = 300.0  # seconds without a byte


class Answer:
    """One answer as it came. While the time runs, only bytes are kept."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[float, bytes]] = []

    def lines(self) -> list[tuple[float, dict[str, Any]]]:
        """The lines, each with the moment at which its last byte was there."""
        found: list[tuple[float, dict[str, Any]]] = []
        rest = b""
        for moment, data in self.arrivals:
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                line = line.removeprefix(b"data: ").strip()
                if line.startswith(b"{"):  # the rest is the head, sizes of chunks, empty lines
                    found.append((moment, json.loads(line)))
        if not found or "error" in found[-1][1]:
            raise SystemExit(f"a request failed: {b''.join(data for _, data in self.arrivals)[-1000:]!r}")
        return found


def exchange(port: int, path: str, order: dict[str, Any], count: int = 1) -> tuple[float, list[Answer]]:
    """Send the same request over ``count`` connections at once and read every answer to its end.

    Returns:
        When the first one was sent, by `time.perf_counter`, and the answers.
    """
    body = json.dumps(order).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    answers = []
    with selectors.DefaultSelector() as selector:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            answers.append(Answer())
            selector.register(connection, selectors.EVENT_READ, (connection, answers[-1].arrivals))
        began = time.perf_counter()
        for key in list(selector.get_map().values()):
            key.data[0].sendall(request)
        while selector.get_map():
            ready = selector.select(LIMIT)
            if not ready:
                raise SystemExit(f"no byte of an answer came for {LIMIT:.0f} s")
            for key, _ in ready:
                connection, arrivals = key.data
                if data := connection.recv(65536):
                    arrivals.append((time.perf_counter(), data))
                else:
                    selector.unregister(connection)
                    connection.close()
    return began, answers


@contextmanager
def server(**variables: object) -> Iterator[int]:
    """``pyollama serve`` with an empty model directory while the block runs; gives its port.

    Args:
        variables: Settings, as ``NUM_PARALLEL=16``.
    """
    with tempfile.TemporaryDirectory(prefix="pyollama-benchmark-") as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")}
        own = {"HOST": "127.0.0.1:0", "MODELS": folder, "KEEP_ALIVE": -1, **variables}
        reading, writing = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pyollama", "serve", "--announce-fd", str(writing)],
            env=kept | {f"OLLAMA_{name}": str(value) for name, value in own.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(writing,),
        )
        os.close(writing)
        try:
            with open(reading, encoding="ascii") as announced:
                url = announced.readline().strip()
            if not url:
                raise SystemExit("'pyollama serve' did not start; run it to see why")
            yield int(url.rpartition(":")[2])
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def create(port: int, name: str, path: Path) -> None:
    """Upload a GGUF file and make a model of it."""
    with open(path, "rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        file.seek(0)
        _post(port, f"/api/blobs/{digest}", file, path.stat().st_size)
    order = json.dumps({"model": name, "files": {path.name: digest}, "stream": False}).encode()
    _post(port, "/api/create", order, len(order))


def _post(port: int, path: str, body: Any, size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("POST", path, body, {"Content-Length": str(size)})
        response = connection.getresponse()
        text = response.read()
        if response.status not in (200, 201):
            raise SystemExit(f"{path} was answered with {response.status}: {text[:1000]!r}")
    finally:
        connection.close()


def generate(name: str, tokens: int, **more: Any) -> dict[str, Any]:
    """A request to ``/api/generate``."""
    options = {"temperature": 0, "num_predict": tokens, "ignore_eos": True, "stop": []}
    return {"model": name, "prompt": "The", "raw": True, "stream": True, "options": options, **more}


class OneStream:
    """Tokens per second of one stream, from the first line to the last.

    A line need not be one token: what ends within a character waits for the next. So the same text is asked for once
    with log-probabilities, which come for each token, to know how many tokens a beginning of the text has.
    """

    def __init__(self, port: int, name: str, tokens: int) -> None:
        self._port, self._name, self._tokens = port, name, tokens
        self._known: dict[str, int] = {}
        text, count = "", 0
        _, (answer,) = exchange(port, "/api/generate", generate(name, tokens, logprobs=True))
        for _, line in answer.lines():
            for entry in line.get("logprobs", ()):
                text += entry["token"]
                count += 1
                self._known.setdefault(text, count)

    def run(self) -> float:
        """Measure it once."""
        _, (answer,) = exchange(self._port, "/api/generate", generate(self._name, self._tokens))
        lines = answer.lines()
        (first, line), (last, end) = lines[0], lines[-1]
        if line["response"] not in self._known:
            raise SystemExit(f"the text began differently this time: {line['response']!r}")
        if end.get("eval_count") != self._tokens:
            raise SystemExit(f"{end.get('eval_count')} tokens came, not {self._tokens}")
        return (self._tokens - self._known[line["response"]]) / (last - first)


def aggregate(port: int, path: str, order: dict[str, Any], count: int, counted: str) -> float:
    """Tokens per second of ``count`` streams together, from the first request to the end of the last answer.

    Args:
        counted: The field of the last line that has the number of tokens.
    """
    began, answers = exchange(port, path, order, count)
    tokens, ended = 0, began
    for answer in answers:
        generated = answer.lines()[-1][1].get(counted)
        if generated != STREAM_TOKENS:
            raise SystemExit(f"{generated} tokens came, not {STREAM_TOKENS}")
        tokens += generated
        ended = max(ended, answer.arrivals[-1][0])
    return tokens / (ended - began)


def compare(contenders: dict[str, Callable[[], float]], runs: int) -> dict[str, Any]:
    """Medians of alternating runs; the ratio is that of the first to the second."""
    rates: dict[str, list[float]] = {label: [] for label in contenders}
    for _ in range(runs):
        for label, run in contenders.items():
            rates[label].append(run())
    medians = {label: statistics.median(values) for label, values in rates.items()}
    ours, theirs = medians.values()
    return {
        "tokens_per_second": {label: round(value, 1) for label, value in medians.items()},
        "runs": {label: [round(value, 1) for value in values] for label, values in rates.items()},
        "ratio": round(ours / theirs, 3),
    }


def one_stream(name: str, path: Path, runs: int) -> dict[str, Any]:
    """One stream of one model beside llama-bench."""
    threads, tokens = thread_count(0), TOKENS[name]
    with server() as port:
        if name != "tiny":
            create(port, name, path)
        stream = OneStream(port, name, tokens)
        contenders = {"HTTP": stream.run, "llama-bench": lambda: llama_bench(path, tokens, threads)}
        result = compare(contenders, runs)
    return {"model": name, "streams": 1, "tokens": tokens, "threads": threads, **result}


def many_streams(path: Path, runs: int) -> Iterator[dict[str, Any]]:
    """Streams of the embedded model at once beside llama-server."""
    threads, most = thread_count(0), max(STREAMS)
    theirs = {
        "prompt": "The",
        "n_predict": STREAM_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }
    ours = generate("tiny", STREAM_TOKENS)
    with (
        server(NUM_PARALLEL=most, CONTEXT_LENGTH=STREAM_CONTEXT) as port,
        llama_server(path, threads, most, STREAM_CONTEXT) as peer,
    ):
        for count in STREAMS:
            contenders: dict[str, Callable[[], float]] = {
                "HTTP": lambda: aggregate(port, "/api/generate", ours, count, "eval_count"),  # noqa: B023
                "llama-server": lambda: aggregate(peer, "/completion", theirs, count, "tokens_predicted"),  # noqa: B023
            }
            for run in contenders.values():
                run()  # the model is loaded, caches are warm
            result = compare(contenders, runs)
            yield {"model": "tiny", "streams": count, "tokens": STREAM_TOKENS, "threads": threads, **result}


def results(names: list[str], runs: int) -> Iterator[dict[str, Any]]:
    """Every comparison, as soon as it is made."""
    for name in names:
        path = Store.default().find("tiny").model_path if name == "tiny" else model_file(name)
        yield one_stream(name, path, runs)
        if name == "tiny":
            yield from many_streams(path, runs)


def main() -> None:
    """Run the comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=[*SHAPES, "tiny"], help="135m, 1b, tiny")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = []
    for result in results(args.models, args.runs):
        found.append(result)
        rates = ", ".join(f"{label} {rate}" for label, rate in result["tokens_per_second"].items())
        streams = "1 stream " if result["streams"] == 1 else f"{result['streams']} streams"
        labels = " / ".join(result["tokens_per_second"])
        print(f"{result['model']:5} {streams} tokens/s: {rates}; {labels} = {result['ratio']}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
