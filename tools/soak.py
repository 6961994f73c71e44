"""A server under random traffic for a while, with all that goes wrong in real life; says whether it stood it.

    python tools/soak.py --minutes 10 --seed 1

Clients ask for texts in every way, send nonsense, leave in the middle, read slowly; runners are killed. Each request
must be answered or fail cleanly, and when all is quiet again the server must hold no more than it did at first.
Exit status: 0 or 1.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import http.client
import json
import os
import random
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from pyollama.engine import OPTIONS

LIMIT = 60.0  # seconds that a request may take
SAMPLE_EVERY = 5.0
WARM_UP = 60.0
RSS_FROM = 120.0  # until then memory may grow as it likes
RSS_GROWTH = 30e6  # bytes
SLACK = {"descriptors": 3, "threads": 2, "children": 0}
MODELS = ("tiny", "tiny", "tiny", "twin", "soak-0", "soak-1")
WORDS = ("a", "story", "about", "the", "red", "house", "and", "seven", "small", "birds", "behind", "it")
N_AND_OK = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "ok": {"type": "boolean"}},
    "required": ["n"],
}
Order = dict[str, Any]
TINY: Order = {"model": "tiny", "prompt": "Hi", "stream": False, "options": {"num_predict": 8}}
# fmt: off
FORMATS: tuple[Any, ...] = (
    "json", N_AND_OK, {"enum": ["yes", "no"]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
    {"type": "object", "properties": {"inner": N_AND_OK}, "required": ["inner"], "additionalProperties": False},
)
# Parts that must be refused in a request that is right otherwise.
WRONG: tuple[Order, ...] = (
    {"model": 5}, {"model": ""}, {"model": "nobody-has-this"}, {"model": "../../etc/passwd"}, {"model": "x" * 2000},
    {"stream": "yes"}, {"top_logprobs": 99}, {"think": "very much"}, {"keep_alive": True}, {"keep_alive": "soon"},
    {"format": 5}, {"format": "yaml"}, {"format": {"type": "no such type"}},
    {"options": []}, {"options": {"temperature": "hot"}}, {"options": {"top_p": 7}}, {"options": {"num_predict": -3}},
    {"options": {"num_ctx": 0}}, {"options": {"num_ctx": 1 << 70}}, {"options": {"stop": 5}},
    {"options": {"grammar": "root ::= ("}},
)
WRONG_IN: dict[str, tuple[Order, ...]] = {
    "/api/generate": (
        {"prompt": 5}, {"context": [-5]}, {"context": [999_999]}, {"context": "abc"}, {"suffix": "x"},
        {"images": ["AAAA"]}, {"raw": True, "system": "x"}, {"template": "{{ .Prompt }}"},
    ),
    "/api/chat": (
        {"messages": 5}, {"messages": [5]}, {"messages": [{"role": "alien", "content": "x"}]}, {"tools": [{}]},
        {"messages": [{"role": "user", "content": 5}]}, {"messages": [{"role": "user", "images": ["AAAA"]}]},
    ),
}
WRONG_BODIES = (b"", b"{", b"[]", b"5", b"nonsense", b"\xff\xfe{}", b"[" * 100_000, b'{"model": "\\ud800"}', b"{}{}")
# fmt: on


class Failure(Exception):
    """Something that must not happen."""


class Sample(NamedTuple):
    seconds: float
    rss: int
    descriptors: int
    threads: int
    children: int
    runners_rss: int

    def __str__(self) -> str:
        return (
            f"{self.seconds:6.0f} s  RSS {self.rss / 1e6:6.1f} MB  {self.descriptors:3} descriptors  "
            f"{self.threads:2} threads  {self.children} children with {self.runners_rss / 1e6:6.1f} MB"
        )


class Server:
    """A server in a process of its own, with a model directory of its own."""

    def __init__(self, folder: Path) -> None:
        reading, writing = os.pipe()
        self.models, self.log = folder / "models", folder / "server.log"
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")}
        variables |= {"OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_MODELS": str(self.models)}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pyollama", "serve", "--announce-fd", str(writing)],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(writing,),
            )
        os.close(writing)
        with open(reading, encoding="ascii") as announced:
            url = announced.readline().strip()
        if not url:
            raise SystemExit(f"the server did not start:\n{self.log.read_text()}")
        self.port = int(url.rpartition(":")[2])
        self.began = time.monotonic()
        self.seen = psutil.Process(self.process.pid)

    def children(self) -> list[psutil.Process]:
        """The runners."""
        return self.seen.children(recursive=True)

    def sample(self) -> Sample:
        """What the server holds now."""
        children, runners_rss = self.children(), 0
        for child in children:
            try:
                runners_rss += child.memory_info().rss
            except psutil.NoSuchProcess:
                pass  # it has just ended
        with self.seen.oneshot():
            rss, threads = self.seen.memory_info().rss, self.seen.num_threads()
        seconds = time.monotonic() - self.began
        return Sample(seconds, rss, self.seen.num_fds(), threads, len(children), runners_rss)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """One request over a connection of its own; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def upload(self, data: bytes) -> str:
        """Store a blob; its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        status, answer = self.ask("POST", f"/api/blobs/{digest}", data)
        if status not in (200, 201):
            raise Failure(f"a blob was answered with {status}: {answer!r}")
        return digest

    def loaded(self) -> list[str]:
        """Names of the loaded models."""
        status, answer = self.ask("GET", "/api/ps")
        if status != 200:
            raise Failure(f"/api/ps was answered with {status}: {answer!r}")
        return [model["name"] for model in json.loads(answer)["models"]]


class Traffic:
    """What all clients share: the gate they pass before each request, what they saw, when runners were killed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.open = threading.Event()
        self.ended = threading.Event()
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.failures: list[str] = []
        self.slowest: dict[str, float] = {}
        self.n_kills = 0
        self.killed_at = float("-inf")
        self._active = 0
        self._lock = threading.Lock()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while it runs."""
        with self._lock:
            self._active += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1

    def record(self, kind: str, outcome: str, seconds: float) -> None:
        """A request has ended as it may."""
        with self._lock:
            self.counts[kind, outcome] += 1
            self.slowest[kind] = max(seconds, self.slowest.get(kind, 0.0))

    def fail(self, what: str, kind: str = "") -> None:
        """Something happened that must not."""
        with self._lock:
            if kind:
                self.counts[kind, "FAILED"] += 1
            self.failures.append(what)
        print(f"FAILED {what}", flush=True)

    def kill(self, source: random.Random) -> None:
        """Kill a runner, if there is one."""
        children = self.server.children()
        if children:
            victim = source.choice(children)
            self.killed_at = time.monotonic()
            victim.kill()
            self.n_kills += 1

    def rest(self) -> None:
        """Let no new requests begin, wait for the others, unload every model."""
        self.open.clear()
        _wait(lambda: self._active == 0, LIMIT + 10, "requests are still running")

        def unloaded() -> bool:
            for name in self.server.loaded():
                self.server.ask("POST", "/api/generate", {"model": name, "keep_alive": 0})
            return not self.server.loaded() and not self.server.children()

        _wait(unloaded, 30, "models or runners stay although nobody uses them")


class Client(threading.Thread):
    """One client after the other, each with a request of some kind."""

    def __init__(self, traffic: Traffic, seed: str) -> None:
        super().__init__(name=f"client {seed}", daemon=True)
        self.traffic, self.server = traffic, traffic.server
        self.source = random.Random(seed)
        self.context: list[int] = []
        self.began = 0.0
        self.shown = ""
        self._kept: http.client.HTTPConnection | None = None
        self._n_blobs = 0
        kinds: dict[Callable[[], str], int] = {
            self.text: 48,
            self.long_prompt: 5,
            self.other_load: 2,
            self.wrong: 10,
            self.altered: 3,
            self.garbage_path: 3,
            self.garbage_bytes: 3,
            self.blob: 4,
            self.create: 3,
            self.look: 6,
            self.unload: 2,
            self.leave: 10,
            self.read_slowly: 2,
        }
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def run(self) -> None:
        """Send requests until the traffic ends."""
        while not self.traffic.ended.is_set():
            if not self.traffic.open.is_set():
                self._drop()
                self.traffic.open.wait(0.2)
                continue
            (act,) = self.source.choices(self._kinds, self._weights)
            kind, self.shown, self.began = act.__name__, "", time.monotonic()
            try:
                with self.traffic.request():
                    if not self.traffic.open.is_set():  # it was closed between the two looks
                        continue
                    outcome = act()
                    if (took := time.monotonic() - self.began) > LIMIT:
                        raise Failure(f"it took {took:.0f} s")
                self.traffic.record(kind, outcome, took)
            except (
                Exception
            ) as error:  # also one that nobody thought of is a failure, and not the end of the client
                took = time.monotonic() - self.began
                self._drop()
                self.traffic.fail(f"{kind} after {took:.1f} s: {error!r}; sent {self.shown:.600}", kind)
        self._drop()

    # Requests.

    def text(self) -> str:
        """A text, in any way."""
        return self._answered(*self._order())

    def long_prompt(self) -> str:
        """A prompt about as long as the context, or far longer."""
        path, order = self._order()
        length = self.source.choice((900, 1800, 1950, 2000, 2040, 2100, 5000, 20_000))
        text = " ".join(self.source.choices(WORDS, k=length))
        if path == "/api/generate":
            order.update(prompt=text)
        else:
            middle = len(text) // 2
            order["messages"] = [
                {"role": "user", "content": text[:middle]},
                {"role": "assistant", "content": "Go on."},
                {"role": "user", "content": text[middle:]},
            ]
        order |= {"truncate": self.source.random() < 0.7, "shift": self.source.random() < 0.7}
        return self._answered(path, order, allowed=(400,))

    def other_load(self) -> str:
        """Options for which the model has to be loaded again."""
        path, order = self._order()
        order["options"] |= self.source.choice(
            (
                {"num_ctx": 256},
                {"num_ctx": 2048},
                {"num_batch": 16},
                {"num_thread": 1},
                {"kv_cache_type": "q8_0"},
            )
        )
        return self._answered(path, order)

    def wrong(self) -> str:
        """What must be refused."""
        path = self.source.choice(("/api/generate", "/api/chat"))
        if self.source.random() < 0.3:
            path = self.source.choice((path, "/api/create"))
            return self._refused(path, self.source.choice(WRONG_BODIES))
        messages = [{"role": "user", "content": "Hi"}]
        order = {**TINY, "messages": messages, **self.source.choice(WRONG + WRONG_IN[path])}
        return self._refused(path, json.dumps(order).encode())

    def altered(self) -> str:
        """A request with a few bytes changed: it may still be right."""
        data = bytearray(json.dumps(TINY).encode())
        for _ in range(self.source.randrange(1, 4)):
            place = self.source.randrange(len(data))
            data[place : place + self.source.randrange(2)] = self.source.randbytes(self.source.randrange(3))
        status, answer = self._ask("POST", "/api/generate", bytes(data))
        return self._status(status, answer, (200, 400, 404))

    def garbage_path(self) -> str:
        """A path that nobody knows."""
        letters = [chr(code) for code in range(33, 127)]
        path = self.source.choice(("/", "/api/", "/api/blobs/", "/v1/")) + "".join(
            self.source.choices(letters, k=self.source.randrange(1, 40))
        )
        method = self.source.choice(("GET", "POST", "PUT", "DELETE", "HEAD", "NONSENSE"))
        status, answer = self._ask(method, path)
        return self._status(status, answer, (200, 301, 400, 404, 405), may_be_plain=True)

    def garbage_bytes(self) -> str:
        """What is hardly HTTP."""
        data = bytearray(self._bytes("/api/generate", TINY))
        for _ in range(self.source.randrange(1, 6)):
            place = self.source.randrange(len(data))
            data[place : place + self.source.randrange(3)] = self.source.randbytes(self.source.randrange(3))
        with self._socket() as connection:
            self._sent(bytes(data))
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except ConnectionResetError:
                return "reset"
        if answer and not answer.startswith(b"HTTP/1."):
            raise Failure(f"it was answered with {answer[:200]!r}")
        return answer[9:12].decode() or "closed"

    def blob(self) -> str:
        """An upload, now and then of something else than was promised."""
        self._n_blobs += 1
        data = f"{self.name} {self._n_blobs}".encode() + self.source.randbytes(
            self.source.randrange(2_000_000)
        )
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        path, right = f"/api/blobs/{digest}", self.source.random() < 0.6
        body = data if right else data[:-1] + bytes([data[-1] ^ 1])
        for expected in (201, 200) if right else (400,):
            status, answer = self._ask("POST", path, body)
            self._status(status, answer, (expected,))
        status, _ = self._ask("HEAD", path)
        self._status(status, b"", (200,) if right else (404,))
        if right:  # nothing removes blobs yet, and a soak would fill the disk
            (self.server.models / "blobs" / digest.replace(":", "-")).unlink()
        return "stored" if right else "refused"

    def create(self) -> str:
        """A model with a system message of its own."""
        name = f"soak-{self.source.randrange(2)}"
        system = f"You are number {self.source.randrange(4)}. Be short."
        order = {"model": name, "from": "tiny", "system": system, "stream": self.source.random() < 0.5}
        status, answer = self._ask("POST", "/api/create", self._encoded(order))
        self._status(status, answer, (200,))
        if json.loads(answer.strip().split(b"\n")[-1]) != {"status": "success"}:
            raise Failure(f"creating ended with {answer[-300:]!r}")
        return "created"

    def look(self) -> str:
        """What there is, what is loaded."""
        method = self.source.choice(("GET", "GET", "HEAD"))
        path = self.source.choice(
            ("/", "/api/version", "/api/tags") if method == "HEAD" else ("/api/tags", "/api/ps")
        )
        status, answer = self._ask(method, path)
        if method == "GET" and status == 200 and not isinstance(json.loads(answer)["models"], list):
            raise Failure(f"{path} was answered with {answer[:200]!r}")
        return self._status(status, answer, (200,))

    def unload(self) -> str:
        """Unload a model, whoever uses it."""
        order = {"model": self.source.choice(MODELS), "keep_alive": 0}
        path = self.source.choice(("/api/generate", "/api/chat"))
        status, answer = self._ask("POST", path, self._encoded(order))
        return self._status(status, answer, (200,))

    def leave(self) -> str:
        """Go away before the end."""
        when = self.source.choice(("head", "body", "upload", "prefill", "decode", "whole"))
        order: Order = {"model": self.source.choice(MODELS), "prompt": "Tell me a story."}
        order["options"] = {"num_predict": -1, "ignore_eos": True, "stop": [], "temperature": 1.5}
        if when == "prefill":
            order |= {"prompt": " ".join(self.source.choices(WORDS, k=1800)), "raw": True}
        if when == "whole":
            order["stream"] = False
        data, last = self._bytes("/api/generate", order, "Connection: close"), b""
        if when == "upload":
            digest = hashlib.sha256(self.source.randbytes(8)).hexdigest()
            head = f"POST /api/blobs/sha256:{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n"
            data = head.encode() + self.source.randbytes(self.source.randrange(2_000_000))
        elif when in ("head", "body"):
            end = data.index(b"\r\n\r\n")
            data = data[
                : self.source.randrange(1, end) if when == "head" else self.source.randrange(end, len(data))
            ]
        self._sent(data)
        with self._socket() as connection:
            connection.sendall(data)
            if when == "decode":
                wanted, piece = self.source.randrange(1, 20_000), b""
                try:
                    while wanted > 0 and (piece := connection.recv(wanted)):
                        wanted -= len(piece)
                        last = piece
                except TimeoutError:
                    raise Failure(f"for {LIMIT:.0f} s nothing followed {last!r}") from None
            else:
                time.sleep(self.source.choice((0, 0.01, 0.1, 0.5)))
            if self.source.random() < 0.5:  # a reset instead of an orderly end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return f"left at {when}"

    def read_slowly(self) -> str:
        """Take a large answer in small bites; it may be cut off with an error."""
        order = {**TINY, "stream": True, "logprobs": True, "top_logprobs": 20, "prompt": "Tell me a story."}
        order["options"] = {"num_predict": self.source.choice((100, 1500)), "ignore_eos": True, "stop": []}
        leaves = self.source.random() < 0.5
        answer, until = b"", time.monotonic() + 6
        with self._socket(4096) as connection:
            data = self._bytes("/api/generate", order, "Connection: close")
            self._sent(data)
            connection.sendall(data)
            while piece := connection.recv(2000 if time.monotonic() < until else 65536):
                answer += piece
                if time.monotonic() < until:
                    time.sleep(0.02)
                elif leaves:
                    return "left"
        status = int(answer[9:12])
        lines = re.findall(rb"^\{.*\}$", answer, re.MULTILINE)  # each is one chunk
        if status != 200:
            return self._status(status, lines[0], ())
        return self._last_line(json.loads(lines[-1]), slow=True)

    # How they are sent, and what is expected.

    def _order(self) -> tuple[str, Order]:
        """A request that is right."""
        source = self.source
        prompt = " ".join(source.choices(WORDS, k=source.randrange(1, 30)))
        order: Order = {
            "model": source.choice(MODELS),
            "stream": source.random() < 0.6,
            "options": self._options(),
        }
        if source.random() < 0.15:
            order["format"] = source.choice(FORMATS)
        if source.random() < 0.15:
            order |= {"logprobs": True, "top_logprobs": source.randrange(21)}
        if source.random() < 0.2:
            order["keep_alive"] = source.choice((0, 1, "2s", "10m", -1))
        if source.random() < 0.5:
            roles = ("system", "user", "assistant", "user")[source.randrange(4) :] or ("user",)
            messages = [{"role": role, "content": f"{role} {prompt}"} for role in roles]
            return "/api/chat", {**order, "messages": messages}
        order["prompt"] = prompt
        way = source.randrange(5)
        if way == 0:
            order["raw"] = True
        elif way == 1:
            order["system"] = "Say little."
        elif way == 2 and self.context:
            order["context"] = self.context
        return "/api/generate", order

    def _options(self) -> Order:
        """Options within their ranges, though not always wise."""
        source = self.source
        options: Order = {"num_predict": source.choice((1, 5, 40, 40, 120, 300))}
        specs = [spec for spec in OPTIONS.values() if spec.group == "sampling" and spec.name != "num_predict"]
        for spec in source.sample(specs, source.choice((0, 1, 3, 8))):
            if spec.kind == "integer" and spec.name != "draft_num_predict":
                low, high = max(spec.low, -10), min(spec.high, source.choice((1, 100, 5000)))
                options[spec.name] = source.randint(int(low), int(high))
            elif spec.kind == "float32":
                options[spec.name] = source.uniform(
                    max(spec.low, -2.0), min(spec.high, source.choice((1.0, 2.0, 50.0)))
                )
        if source.random() < 0.1:
            options["stop"] = ["\n", "and", "\N{SNOWMAN}"][: source.randrange(4)]
        return options

    def _answered(self, path: str, order: Order, allowed: tuple[int, ...] = ()) -> str:
        """Send a request for a text and check the answer."""
        connection = self._connection()
        connection.request("POST", path, self._encoded(order))
        response = connection.getresponse()
        if response.status != 200:
            return self._status(response.status, response.read(), allowed)
        if not order["stream"]:
            answer = json.loads(response.read())
            texts = [answer]
        else:
            texts = []
            while line := response.readline():
                texts.append(json.loads(line))
                if time.monotonic() > self.began + LIMIT:
                    raise Failure(f"it does not end; {len(texts)} lines came")
                if texts[-1].get("done") or "error" in texts[-1]:
                    break
            if rest := response.read():
                raise Failure(f"after the last line came {rest[:200]!r}")
            if not texts:
                raise Failure("a stream without a line")
            answer = texts[-1]
        outcome = self._last_line(answer)
        if "error" not in answer:
            self._check(order, answer, texts)
        return outcome

    def _last_line(self, answer: Order, slow: bool = False) -> str:
        if error := answer.get("error"):
            if self._after_a_kill() and "model runner has unexpectedly stopped" in error:
                return "error line after a kill"
            if slow and "reads too slowly" in error:
                return "error line: too slow"
            raise Failure(f"the last line is an error: {error}")
        if answer.get("done") is not True:
            raise Failure(f"the answer ends with {json.dumps(answer):.300}")
        return f"done: {answer['done_reason']}"

    def _check(self, order: Order, answer: Order, texts: list[Order]) -> None:
        if answer["eval_count"] > order["options"]["num_predict"]:
            raise Failure(f"{answer['eval_count']} tokens were generated")
        parts = [part["message"]["content"] if "message" in part else part["response"] for part in texts]
        if "format" in order and answer["done_reason"] == "stop" and "stop" not in order["options"]:
            try:
                json.loads("".join(parts))
            except ValueError:
                raise Failure(f"not JSON: {''.join(parts)!r:.300}") from None
        if order.get("logprobs"):
            n_logprobs = sum(len(part.get("logprobs", ())) for part in texts)
            if n_logprobs > answer["eval_count"]:
                raise Failure(f"{n_logprobs} logprobs for {answer['eval_count']} tokens")
        if answer.get("context"):
            self.context = answer["context"]

    def _refused(self, path: str, body: bytes) -> str:
        status, answer = self._ask("POST", path, body)
        return self._status(status, answer, (400, 404))

    def _status(
        self, status: int, answer: bytes, allowed: tuple[int, ...], *, may_be_plain: bool = False
    ) -> str:
        """Check a status, and that an error says something."""
        after_a_kill = status == 500 and self._after_a_kill()
        if status not in allowed and not after_a_kill:
            raise Failure(f"status {status}: {answer[:500]!r}")
        if status >= 400 and answer and not may_be_plain and not json.loads(answer).get("error"):
            raise Failure(f"status {status} without a message: {answer[:200]!r}")
        return f"{status} after a kill" if after_a_kill else str(status)

    def _after_a_kill(self) -> bool:
        return self.traffic.killed_at > self.began - 1

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        self._sent(f"{method} {path} ".encode() + (body or b""))
        connection = self._connection()
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()

    def _encoded(self, order: Order) -> bytes:
        data = json.dumps(order).encode()
        self._sent(data)
        return data

    def _bytes(self, path: str, order: Order, *headers: str) -> bytes:
        body = json.dumps(order).encode()
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _sent(self, data: bytes) -> None:
        self.shown = repr(data[:2000])

    def _socket(self, receive_buffer: int = 0) -> socket.socket:
        connection = socket.socket()
        connection.settimeout(LIMIT)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(("127.0.0.1", self.server.port))
        return connection

    def _connection(self) -> http.client.HTTPConnection:
        """The connection of the last request, or a new one."""
        if self._kept is None or self.source.random() < 0.3:
            self._drop()
            self._kept = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=LIMIT)
        return self._kept

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def _wait(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Failure(f"{otherwise}, {seconds:.0f} s later")
        time.sleep(0.1)


class Soak:
    """The whole run.

    Args:
        server: What is tried.
        seconds: How long the traffic lasts.
        seed: Of everything random; threads still meet each other differently each time.
        n_clients: How many clients at a time.
        kill_every: Seconds between two killed runners; 0: none is killed.
    """

    def __init__(self, server: Server, seconds: float, seed: int, n_clients: int, kill_every: float) -> None:
        self.server, self.seconds, self.kill_every = server, seconds, kill_every
        self.traffic = Traffic(server)
        self.clients = [Client(self.traffic, f"{seed}/{number}") for number in range(n_clients)]
        self.source = random.Random(seed)
        self.samples: list[Sample] = []

    def run(self) -> bool:
        """Send the traffic, look at what is left; whether all was well."""
        traffic = self.traffic
        try:
            self._prepare()
            for client in self.clients:
                client.start()
            warm = min(WARM_UP, self.seconds / 4)
            self._pass(warm)
            before = self._rest()
            self._pass(self.seconds - warm)
            after = self._rest(before)
            self._judge(before, after)
            self._end()
        except (Failure, OSError, ValueError, psutil.Error) as error:
            traffic.fail(f"{error!r}")
        finally:
            traffic.ended.set()
            for client in self.clients:
                if client.is_alive():
                    client.join(LIMIT + 10)
        self._print()
        return not traffic.failures

    def _prepare(self) -> None:
        """Another model with a runner of its own, and models that share tiny's."""
        (blob,) = [path for path in _own_blobs() if path.stat().st_size > 1_000_000]
        name = b"general.name\x08\0\0\0\4\0\0\0\0\0\0\0"
        data = blob.read_bytes().replace(name + b"tiny", name + b"twin", 1)
        orders: list[Order] = [{"model": "twin", "files": {"twin.gguf": self.server.upload(data)}}]
        orders += [{"model": f"soak-{number}", "from": "tiny", "system": "Be kind."} for number in range(2)]
        for order in orders:
            status, answer = self.server.ask("POST", "/api/create", {**order, "stream": False})
            if status != 200:
                raise Failure(f"/api/create was answered with {status}: {answer!r}")

    def _pass(self, seconds: float) -> None:
        """Let traffic pass for a while."""
        begin = time.monotonic()
        next_sample = begin
        next_kill = begin + self.kill_every * self.source.uniform(0.3, 1)
        self.traffic.open.set()
        while (now := time.monotonic()) < begin + seconds:
            if self.server.process.poll() is not None:
                raise Failure(f"the server ended with {self.server.process.returncode}")
            if self.kill_every and now >= next_kill:
                self.traffic.kill(self.source)
                next_kill = now + self.kill_every * self.source.uniform(0.5, 1.5)
            if now >= next_sample:
                self.samples.append(self.server.sample())
                if len(self.samples) % 6 == 1:
                    print(self.samples[-1], f" {self.traffic.counts.total()} requests", flush=True)
                next_sample += SAMPLE_EVERY
            time.sleep(0.05)

    def _rest(self, wanted: Sample | None = None) -> Sample:
        """What the server holds when all is quiet; what it held before may take a while to come back."""
        self.traffic.rest()
        time.sleep(3)
        try:
            _wait(lambda: wanted is None or not _too_much(wanted, self.server.sample()), 30, "")
        except Failure:
            pass  # judged later, with what is too much
        self.server.seen.cpu_percent()
        time.sleep(1)
        if (busy := self.server.seen.cpu_percent()) > 20:
            self.traffic.fail(
                f"the server takes {busy:.0f} % of a processor although nobody asks for anything"
            )
        sample = self.server.sample()
        print(sample, " at rest", flush=True)
        return sample

    def _judge(self, before: Sample, after: Sample) -> None:
        for what in _too_much(before, after):
            self.traffic.fail(
                f"at rest there are {getattr(after, what)} {what}, after the warm-up {getattr(before, what)}"
            )
        begin = min(RSS_FROM, self.seconds / 2)
        later = [sample.rss for sample in self.samples if sample.seconds >= begin]
        some = min(12, max(1, len(later) // 2))
        growth = statistics.median(later[-some:]) - statistics.median(later[:some])
        print(f"RSS grew by {growth / 1e6:.1f} MB from {begin:.0f} s on (medians of {some} samples)")
        print("RSS in MB:", *(f"{sample.rss / 1e6:.0f}" for sample in self.samples))
        if growth > RSS_GROWTH:
            self.traffic.fail(f"the server's memory grew by {growth / 1e6:.1f} MB")
        left = [path.name for path in (self.server.models / "blobs").iterdir() if not _is_blob(path.name)]
        if left:
            self.traffic.fail(f"unfinished files stayed in the model directory: {left}")
        log = self.server.log.read_text(errors="replace")
        if (at := log.find("Traceback")) >= 0:
            self.traffic.fail(
                f"the server's log has {log.count('Traceback')} tracebacks, the first:\n{log[at : at + 3000]}"
            )

    def _end(self) -> None:
        """It must still answer, and end with its runner when it is told to."""
        order = {**TINY, "prompt": "What is 7 plus 5?", "options": {"temperature": 0}}
        status, answer = self.server.ask("POST", "/api/generate", order)
        if status != 200 or "12" not in json.loads(answer)["response"]:
            raise Failure(f"at the end a question was answered with {status}: {answer!r}")
        runners = self.server.children()
        self.server.process.terminate()
        try:
            code = self.server.process.wait(20)
        except subprocess.TimeoutExpired:
            raise Failure("SIGTERM did not end the server in 20 s") from None
        if code != 0:
            raise Failure(f"SIGTERM ended the server with exit status {code}")
        if left := psutil.wait_procs(runners, timeout=5)[1]:
            raise Failure(f"runners outlive the server: {left}")

    def _print(self) -> None:
        counts = self.traffic.counts
        print(
            f"\n{counts.total()} requests, {self.traffic.n_kills} runners killed, {len(self.samples)} samples"
        )
        for kind in sorted({kind for kind, _ in counts}):
            outcomes = sorted((outcome, count) for (of, outcome), count in counts.items() if of == kind)
            shown = ", ".join(f"{outcome} {count}" for outcome, count in outcomes)
            print(
                f"  {kind:13} {sum(count for _, count in outcomes):6}  slowest {self._slowest(kind)}: {shown}"
            )
        print(f"{len(self.traffic.failures)} failures")
        for failure in self.traffic.failures[:20]:
            print("  " + failure)

    def _slowest(self, kind: str) -> str:
        return f"{self.traffic.slowest.get(kind, float('nan')):4.1f} s"


def _too_much(before: Sample, now: Sample) -> list[str]:
    return [what for what, slack in SLACK.items() if getattr(now, what) > getattr(before, what) + slack]


def _is_blob(name: str) -> bool:
    return re.fullmatch(r"sha256-[0-9a-f]{64}", name) is not None


def _own_blobs() -> list[Path]:
    """The blobs of the embedded model."""
    import pyollama

    return list((Path(pyollama.__file__).parent / "models" / "blobs").iterdir())


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--kill-every", type=float, default=20, metavar="SECONDS", help="0: kill no runner")
    parser.add_argument("--log", type=Path, help="keep the server's log here")
    args = parser.parse_args()
    print(f"seed {args.seed}, {args.clients} clients, {args.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="pyollama-soak-") as folder:
        server = Server(Path(folder))
        try:
            well = Soak(server, args.minutes * 60, args.seed, args.clients, args.kill_every).run()
        finally:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()
            if args.log:
                args.log.write_bytes(server.log.read_bytes())
    print("all is well" if well else "FAILED")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
