"""Check that llama-cpp-python and pyollama work in one process, whichever is imported first.

    python tools/check_llama_cpp_python.py

Needs both in the environment of the Python that runs it. llama-cpp-python is not among the packages of the
tests, because it compiles for ten minutes; install the version that vendor/llama.cpp.toml names:

    pip install llama-cpp-python==0.3.36

Each order runs in a process of its own. Both packages load the embedded model and split the same texts into
tokens, which must come out alike; then each one generates. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

ORDERS = [("llama_cpp", "pyollama"), ("pyollama", "llama_cpp")]

IMPORT = {
    "llama_cpp": "import llama_cpp",
    "pyollama": "from pyollama.native import backend, chat, engine, model",
}

CHECK = """
import json
from pathlib import Path
import pyollama
from pyollama.engine.options import Options
from pyollama.native import LIBRARY_DIR

models = Path(pyollama.__file__).parent / "models"
manifest = json.loads((models / "manifests/registry.ollama.ai/library/tiny/latest").read_text())
digest, = (layer["digest"] for layer in manifest["layers"] if layer["mediaType"].endswith(".image.model"))
blob = str(models / "blobs" / digest.replace(":", "-"))

TEXTS = ["", "Why is the sky blue?", "  two spaces", "\\u00e9\\u4e2d\\U0001f600", "one\\ntwo\\t3", "a" * 300]


def theirs():
    vocabulary = llama_cpp.Llama(blob, vocab_only=True, verbose=False)
    tokens = [vocabulary.tokenize(text.encode(), add_bos=False, special=False) for text in TEXTS]
    llm = llama_cpp.Llama(blob, n_ctx=256, n_threads=1, verbose=False)
    answer = llm.create_completion("Why is the sky blue?", max_tokens=16, temperature=0.0)
    return tokens, answer["choices"][0]["text"]


def ours():
    backend.init(str(LIBRARY_DIR))
    loaded = model.Model(blob)
    tokens = [loaded.tokenize(text, add_special=False, parse_special=False) for text in TEXTS]
    options = Options.parse({"temperature": 0}).resolve()
    channel = engine.Channel()
    running = engine.Engine(loaded, options.load, n_ctx=256, n_parallel=1, n_threads=1)
    prompt = loaded.tokenize("Why is the sky blue?")
    running.submit(prompt, options.sampling, channel, seed=1, n_predict=16)
    text, finish = "", None
    while finish is None:
        for event in channel.collect():
            assert not event.error, event.error
            text += event.text
            finish = event.finish
    running.close()
    loaded.close()
    return tokens, text


# Twice, in both orders: what one of them leaves behind must not change the other.
first, second = (theirs(), ours()), None
second = ours(), theirs()
assert first == second[::-1], f"not the same the second time: {first} {second}"
assert first[0][0] == first[1][0], f"other tokens: llama-cpp-python {first[0][0]}, pyollama {first[1][0]}"
assert first[0][1].strip() and first[1][1].strip(), "a text is empty"
print(f"  {sum(map(len, first[0][0]))} tokens of {len(TEXTS)} texts, the same from both")
print(f"  llama-cpp-python wrote {first[0][1]!r}")
print(f"  pyollama wrote         {first[1][1]!r}")
"""


def missing() -> list[str]:
    return [name for name in ("llama_cpp", "pyollama") if importlib.util.find_spec(name) is None]


def check(order: tuple[str, ...]) -> bool:
    print(f"import {', then '.join(order)}", flush=True)
    code = "\n".join([*(IMPORT[name] for name in order), CHECK])
    # -P: a source tree in the current folder must not hide the installed package.
    done = subprocess.run([sys.executable, "-P", "-X", "faulthandler", "-c", code], check=False)
    if done.returncode != 0:
        print(f"  FAILED with exit code {done.returncode}; the reason is above", flush=True)
    return done.returncode == 0


def main() -> int:
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    absent = missing()
    if absent:
        print(
            f"not installed for {sys.executable}: {', '.join(absent)}. See the top of this file.",
            file=sys.stderr,
        )
        return 1
    pinned = tomllib.loads((ROOT / "vendor" / "llama.cpp.toml").read_text(encoding="utf-8"))["version"]
    found = version("llama-cpp-python")
    print(f"pyollama {version('pyollama')}, llama-cpp-python {found}")
    if found != pinned:
        # Another version is a check too, of other libraries; only the comparison of tokens may then differ.
        print(f"note: pyollama is built from {pinned}")
    results = [check(order) for order in ORDERS]
    print("both orders work" if all(results) else "FAILED")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
