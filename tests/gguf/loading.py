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
MAX_BYTES = 1 << 30  # that a small file may take
WORKER = """
import json, os, resource, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what native code prints is no answer
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from pyollama.engine import Model
from pyollama.errors import Error

def peak():
    # In KiB. Not getrusage: what it says begins with the size of the process that started this one.
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0])

def use(path, checked):
    if not checked:
        from pyollama.engine import backend
        backend.start()
        from pyollama.native.model import Model as Native
        return Native(path)
    with Model(path) as model:
        model.detokenize(model.tokenize("Hello abc  1\\n\\u00e9<s>"))
        for token in range(model.header.vocabulary_size):
            model.piece(token)

for line in sys.stdin:
    path, checked = json.loads(line)
    answer = "loaded"
    try:
        use(path, checked)
    except Error as error:
        answer = f"{type(error).__name__}: {error}"
    except BaseException as error:
        answer = f"UNEXPECTED {type(error).__name__}: {error}"
    print(json.dumps([answer, peak()]), file=answers, flush=True)
"""


class Crash(AssertionError):
    """Native code ended the process, did not come back, took the memory, or raised what is no error of ours."""


class Loader:
    """A process that loads one file after the other; a new one takes over when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def load(self, path: Path, *, checked: bool = True) -> str:
        """Load a file and use its vocabulary: ``loaded``, or the error.

        Args:
            path: The file.
            checked: Whether its header is checked first, as it always should be.

        Raises:
            Crash: The process died or did not answer, or something unexpected was raised.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([str(path), checked]) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], LIMIT)
        line = process.stdout.readline() if ready else ""
        if not line:
            raise Crash(f"{path}: {self._post_mortem(process, hangs=not ready)}")
        answer, kilobytes = json.loads(line)
        if answer.startswith("UNEXPECTED"):
            raise Crash(f"{path}: {answer}")
        # Of all files so far: the process is thrown away with the one that exceeds it.
        if kilobytes << 10 > MAX_BYTES:
            self.close()
            raise Crash(f"{path}: it took {kilobytes >> 10} MB")
        return str(answer)

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Without it ggml starts a debugger to print the stack.
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        )
        return self._process

    def _post_mortem(self, process: subprocess.Popen[str], *, hangs: bool) -> str:
        """How it ended."""
        if hangs:
            process.kill()
        _, printed = process.communicate()
        self._process = None
        if hangs:
            return f"no answer within {LIMIT:g} s"
        status = process.returncode
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return f"{how}: {' '.join(printed[-2_000:].split())}"

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None
