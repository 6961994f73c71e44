"""llama.cpp's own programs, built from the same tree with the same options."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["llama_bench", "llama_server"]

ROOT = Path(__file__).parents[1]
START_SECONDS = 120.0


def _program(name: str, build: str) -> Path:
    path = ROOT / "build" / build / "bin" / name
    if not path.exists():
        raise SystemExit(
            f"{path} is missing. Build it with\n"
            f"  cmake -S . -B build/{build} -G Ninja -DPYOLLAMA_PEERS=ON && ninja -C build/{build} {name}"
        )
    return path


def llama_bench(model: Path, tokens: int, threads: int, build: str = "peers") -> float:
    """Tokens per second of llama-bench while it generates, one run in a process of its own.

    Args:
        model: The GGUF file.
        tokens: How many to generate.
        threads: How many compute.
        build: Folder below build/ that holds the program.
    """
    command = [
        str(_program("llama-bench", build)),
        "-m",
        str(model),
        "-p",
        "0",
        "-n",
        str(tokens),
        "-t",
        str(threads),
        "-r",
        "1",
        "-o",
        "json",
    ]
    output = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout
    (result,) = json.loads(output)
    return float(result["avg_ts"])


@contextmanager
def llama_server(
    model: Path, threads: int, parallel: int, context: int, build: str = "peers"
) -> Iterator[int]:
    """A llama-server of its own while the block runs; gives its port. It keeps its defaults otherwise.

    Args:
        model: The GGUF file.
        threads: How many compute.
        parallel: Requests that it answers at a time.
        context: Tokens of context of each of them.
        build: Folder below build/ that holds the program.
    """
    program = _program("llama-server", build)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = {
        "-m": model,
        "-t": threads,
        "-np": parallel,
        "-c": parallel * context,
        "--host": "127.0.0.1",
        "--port": port,
    }
    command = [str(program), *(str(word) for pair in arguments.items() for word in pair)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until = time.monotonic() + START_SECONDS
            while not _is_healthy(port):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise SystemExit(
                        f"{program} did not start:\n{log.read().decode(errors='replace')[-3000:]}"
                    )
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200  # 503 while it loads
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()
