"""llama.cpp's own programs, built from the same tree with the same options."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

__all__ = ["llama_bench"]

ROOT = Path(__file__).parents[1]


def llama_bench(model: Path, tokens: int, threads: int, build: str = "peers") -> float:
    """Tokens per second of llama-bench while it generates, one run in a process of its own.

    Args:
        model: The GGUF file.
        tokens: How many to generate.
        threads: How many compute.
        build: Folder below build/ that holds the program.
    """
    program = ROOT / "build" / build / "bin" / "llama-bench"
    if not program.exists():
        raise SystemExit(
            f"{program} is missing. Build it with\n"
            f"  cmake -S . -B build/{build} -G Ninja -DPYOLLAMA_PEERS=ON && ninja -C build/{build} llama-bench"
        )
    command = [
        str(program),
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
