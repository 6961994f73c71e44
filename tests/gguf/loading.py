"""Loads files in another process, to survive what native code does with them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

LIMIT = 20.0  # seconds for one file
WORKER = """
import json, os, resource, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what native code prints is no answer
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
from pyollama.engine import Embedder, Engine, GenerationRequest, LoadOptions, Model, SamplingOptions
from pyollama.errors import Error, Unsupported

SAMPLING = SamplingOptions(num_predict=1, seed=1)

def use(path, run, vocab_only):
    options = LoadOptions(num_thread=1, num_parallel=1, num_ctx=64, num_batch=16, vocab_only=vocab_only)
    with Model(path, options=options) as model:
        tokens = model.tokenize("Hello abc  1\\n\\u00e9<s>")
        model.detokenize(tokens)
        for token in range(model.header.vocabulary_size):
            model.piece(token)
        if not run:
            return
        try:
            with Engine(model) as engine:
                for _ in engine.generate(GenerationRequest(prompt=tuple(tokens[:8]), sampling=SAMPLING)):
                    pass
        except Unsupported:
            embedder = Embedder(model)
            try:
                embedder.embed([tokens[:8]])
            finally:
                embedder.close()

for line in sys.stdin:
    path, run = json.loads(line)
    answer = "loaded"
    try:
        use(path, run, False)
    except Error as error:
        answer = f"{type(error).__name__}: {error}"
    except BaseException as error:
        answer = f"UNEXPECTED {type(error).__name__}: {error}"
    print(json.dumps([answer, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]), file=answers, flush=True)
"""


class Crash(AssertionError):
    """Native code ended the process, hung, or raised what is no error of ours."""


class Loader:
    """A process that loads one file after the other; a new one takes over when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.crashes: list[str] = []

    def load(self, path: Path, *, run: bool = True) -> str:
        """Load a file and use the model; ``loaded`` or the error.

        Raises:
            Crash: The process died or did not answer.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([str(path), run]) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], LIMIT)
        line = process.stdout.readline() if ready else ""
        if line:
            answer, _ = json.loads(line)
            if answer.startswith("UNEXPECTED"):
                raise Crash(f"{path}: {answer}")
            return str(answer)
        if not ready:
            process.kill()
        process.wait()
        self._process = None
        if not ready:
            raise Crash(f"{path}: no answer within {LIMIT:g} s")
        status = process.returncode
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        assert process.stderr is not None
        raise Crash(f"{path}: {how}\n{process.stderr.read()[-2000:]}")

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Without it ggml starts a debugger to print the stack.
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        )
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None
