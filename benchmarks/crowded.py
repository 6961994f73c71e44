"""Tokens per second while other programs keep the processors busy: the library beside llama-bench.

    python -m benchmarks.crowded

Starts 0, 1, 2 and 4 programs that only count, and generates with the embedded model. Threads that wait for each
other suffer most from such neighbours, and small models most of all.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pyollama
from benchmarks.decode import library
from benchmarks.peers import llama_bench

TOKENS = 512
RUNS = 3


def main() -> None:
    """Print a line for each number of busy programs."""
    with pyollama.LLM("tiny") as llm:
        path, threads = Path(llm.model.header.path), llm.engine.n_threads
        for count in (0, 1, 2, 4):
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
            try:
                ours, theirs = [], []
                for _ in range(RUNS):
                    ours.append(library(llm, TOKENS))
                    theirs.append(llama_bench(path, TOKENS, threads))
            finally:
                for process in busy:
                    process.kill()
                    process.wait()
            rates = f"library {statistics.median(ours):.1f}, llama-bench {statistics.median(theirs):.1f}"
            print(f"{count} busy programs, {threads} threads: tokens/s {rates}", flush=True)


if __name__ == "__main__":
    main()
