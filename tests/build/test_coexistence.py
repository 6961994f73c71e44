"""pyollama beside other packages that carry llama.cpp or their own threads, in one process.

xllamacpp links a llama.cpp of another version into one file and exports all of its symbols, thousands of them
with the names of ours. Each test runs in processes of its own, because the order of imports is what it is
about. tools/check_llama_cpp_python.py does it with llama-cpp-python, which takes ten minutes to compile.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import Any

import pytest

from pyollama import _build

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(_build.SANITIZER), reason="other packages are not built for a sanitizer"),
]

# What each package does once it is imported. The process prints one JSON object of the results.
COMMON = """
import json, sys
from pathlib import Path
import pyollama

models = Path(pyollama.__file__).parent / "models"
manifest = json.loads((models / "manifests/registry.ollama.ai/library/tiny/latest").read_text())
digest, = (layer["digest"] for layer in manifest["layers"] if layer["mediaType"].endswith(".image.model"))
blob = str(models / "blobs" / digest.replace(":", "-"))
results = {}
"""

IMPORT = {
    "pyollama": "from pyollama.native import backend, chat, engine, model",
    "xllamacpp": "import xllamacpp",
    "numpy": "import numpy",
    "torch": "import torch",
}

USE = {
    # Tokens, a generation, the JSON schema code of llama.cpp's "common", an exception that crosses libraries.
    "pyollama": """
from pyollama import errors
from pyollama.engine.options import Options
from pyollama.native import LIBRARY_DIR
backend.init(str(LIBRARY_DIR))
options = Options.parse({"temperature": 0}).resolve()
loaded = model.Model(blob)
tokens = loaded.tokenize("Why is the sky blue?")
with_end = engine.Channel()
running = engine.Engine(loaded, options.load, n_ctx=256, n_parallel=1, n_threads=1)
running.submit(tokens, options.sampling, with_end, seed=1, n_predict=16)
text, finish = "", None
while finish is None:
    for event in with_end.collect():
        text += event.text
        finish = event.finish
        assert not event.error, event.error
running.close()
loaded.close()
try:
    model.Model(blob + ".absent")
    refused = None
except errors.Error as error:
    refused = type(error).__name__
grammar = chat.grammar_from_json_schema('{"type": "object", "properties": {"a": {"type": "integer"}}}')[0]
results["pyollama"] = [tokens, text, refused, grammar, backend.live_handles()]
""",
    # A server thread of its own, a generation, and the same JSON schema code.
    "xllamacpp": """
params = xllamacpp.CommonParams()
params.model.path = blob
params.n_ctx, params.n_parallel, params.cpuparams.n_threads, params.warmup = 256, 1, 1, False
server = xllamacpp.Server(params)
answer = server.handle_completions({"prompt": "Why is the sky blue?", "max_tokens": 16, "temperature": 0})
results["xllamacpp"] = [
    answer["choices"][0]["text"],
    xllamacpp.json_schema_to_grammar('{"type": "object", "properties": {"a": {"type": "integer"}}}'),
    xllamacpp.get_system_info(),
]
del server
""",
    "numpy": """
values = numpy.arange(64 * 64, dtype=numpy.float32).reshape(64, 64)
results["numpy"] = float((values @ values).sum())
""",
    "torch": """
values = torch.arange(64 * 64, dtype=torch.float32).reshape(64, 64)
results["torch"] = float((values @ values).double().sum())
""",
}


def together(*packages: str) -> dict[str, Any]:
    """Import the packages in this order, use them in this order, use them again, and return what came out."""
    code = "\n".join([COMMON, *(IMPORT[name] for name in packages), *(USE[name] for name in packages)])
    code += "\nfirst = dict(results)\n" + "\n".join(USE[name] for name in packages)
    code += "\nassert results == first, (results, first)"
    code += "\nprint('\\nRESULTS ' + json.dumps(results), flush=True)\n"
    # -P: the current folder may be a source tree, which would hide the installed package.
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, (
        f"{' then '.join(packages)}: exit code {done.returncode}\n{done.stderr[-4000:]}"
    )
    lines = [
        line.removeprefix("RESULTS ") for line in done.stdout.splitlines() if line.startswith("RESULTS ")
    ]
    results: dict[str, Any] = json.loads(lines[-1])
    return results


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What each package gives in a process that has no other."""
    return {name: together(name)[name] for name in USE}


def test_alone(alone: dict[str, Any]) -> None:
    """Catches results that are empty, which the comparisons below would find equal."""
    tokens, text, refused, grammar, live = alone["pyollama"]
    assert len(tokens) > 3
    assert text.strip()
    assert refused in {"ModelNotFound", "ModelLoadError"}
    assert "root ::=" in grammar
    assert not any(live.values())
    assert all(alone["xllamacpp"])


@pytest.mark.parametrize("order", list(itertools.permutations(["pyollama", "xllamacpp"])), ids="-".join)
def test_with_another_llama_cpp(alone: dict[str, Any], order: tuple[str, ...]) -> None:
    """Catches two versions of llama.cpp that take each other's functions, variables or exceptions: a crash,
    or other results than alone."""
    pytest.importorskip("xllamacpp", reason="it has ready wheels for the common platforms only")
    assert together(*order) == {name: alone[name] for name in order}


@pytest.mark.parametrize(
    "order",
    [
        ("numpy", "torch", "pyollama"),
        ("pyollama", "numpy", "torch"),
        ("torch", "xllamacpp", "pyollama", "numpy"),
    ],
    ids="-".join,
)
def test_with_numpy_and_torch(alone: dict[str, Any], order: tuple[str, ...]) -> None:
    """Catches a clash with their OpenMP, BLAS or C++ runtime, whichever is loaded first."""
    assert together(*order) == {name: alone[name] for name in order}
