"""Tokens per second of one stream: the library beside llama-bench.

    python -m benchmarks.decode                  # 135M and 1B shapes, the embedded model
    python -m benchmarks.decode --openmp         # also llama-bench with OpenMP, from build/peers-openmp
    python -m benchmarks.decode --json FILE

Runs alternate, the medians are compared: a machine is rarely quiet for long. llama-bench chooses no tokens;
the library's time includes choosing them and turning them into text.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import pyollama
from benchmarks.peers import llama_bench
from benchmarks.shapes import SHAPES, model_file

TOKENS = {"135m": 128, "1b": 64, "tiny": 512}


def library(llm: pyollama.LLM, tokens: int) -> float:
    """Tokens per second by the wall clock, from the first token to the last."""
    options = {"temperature": 0, "num_predict": tokens, "ignore_eos": True, "stop": []}
    arrived = []
    with llm.generate("The", raw=True, stream=True, options=options) as stream:
        for chunk in stream:
            arrived.append((time.perf_counter(), len(chunk.tokens)))
    first, last = arrived[0], arrived[-1]
    return (sum(count for _, count in arrived) - first[1]) / (last[0] - first[0])


def compare(name: str, runs: int, openmp: bool) -> dict[str, object]:
    """Medians of alternating runs for one model."""
    with pyollama.LLM("tiny" if name == "tiny" else model_file(name)) as llm:
        path, threads, tokens = Path(llm.model.header.path), llm.engine.n_threads, TOKENS[name]
        contenders = {
            "library": lambda: library(llm, tokens),
            "llama-bench": lambda: llama_bench(path, tokens, threads),
        }
        if openmp:
            contenders["llama-bench with OpenMP"] = lambda: llama_bench(path, tokens, threads, "peers-openmp")
        library(llm, 16)
        rates: dict[str, list[float]] = {label: [] for label in contenders}
        for _ in range(runs):
            for label, run in contenders.items():
                rates[label].append(run())
    medians = {label: statistics.median(values) for label, values in rates.items()}
    return {
        "model": name,
        "tokens": tokens,
        "threads": threads,
        "tokens_per_second": {label: round(value, 1) for label, value in medians.items()},
        "runs": {label: [round(value, 1) for value in values] for label, values in rates.items()},
        "ratio": round(medians["library"] / medians["llama-bench"], 3),
    }


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=[*SHAPES, "tiny"], help="135m, 1b, tiny")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--openmp", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = []
    for name in args.models:
        result = compare(name, args.runs, args.openmp)
        results.append(result)
        rates = ", ".join(f"{label} {rate}" for label, rate in result["tokens_per_second"].items())
        print(f"{name:5} tokens/s: {rates}; library / llama-bench = {result['ratio']}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
