"""A real server in a process of its own, with a model directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from .client import Reply, ask

LIMIT = 60.0


class LiveServer:
    """``python -m pyollama serve`` on a free port.

    Args:
        folder: For its models and its log.
        environment: Variables beside those of this process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        reading, writing = os.pipe()
        self.models = folder / "models"
        self.log = folder / "server.log"
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")}
        variables |= {"OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_MODELS": str(self.models), **(environment or {})}
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
            self.url = announced.readline().strip()
        assert self.url, self.log.read_text()
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runners = self.runners()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        _, left = psutil.wait_procs(runners, timeout=5)
        assert not left, f"runners stayed behind: {left}"

    def ask(self, path: str, body: Any = None, method: str = "") -> Reply:
        """One request; POST if there is a body."""
        return ask(self.port, method or ("GET" if body is None else "POST"), path, body)

    def generate(self, prompt: str, **more: Any) -> dict[str, Any]:
        """The whole answer to a prompt, greedy unless the options say something else."""
        options = {"temperature": 0, **more.pop("options", {})}
        reply = self.ask(
            "/api/generate", {"model": "tiny", "prompt": prompt, "stream": False, "options": options, **more}
        )
        assert reply.status == 200, reply.body
        answer: dict[str, Any] = reply.json
        return answer

    def runners(self) -> list[psutil.Process]:
        """The processes of the models."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def unload(self, model: str) -> None:
        """Unload a model and wait until it is gone."""
        assert self.ask("/api/generate", {"model": model, "keep_alive": 0}).status == 200
        wait_until(lambda: model not in self.names())

    def names(self) -> list[str]:
        """The names of the loaded models, without their tags."""
        return [model["name"].partition(":")[0] for model in self.ask("/api/ps").json["models"]]


def wait_until(condition: Callable[[], bool], within: float = LIMIT) -> float:
    """Seconds until the condition holds."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + within, "it did not come about in time"
        time.sleep(0.005)
    return time.monotonic() - begin
