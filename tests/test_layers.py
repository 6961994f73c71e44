"""The layers of docs/architecture.md: who may import whom, and when native code is loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pyollama"

# Package -> packages that it may import beside itself. "root": the modules directly in pyollama/.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "native": {"root", "errors"},
    "gguf": {"errors"},
    "store": {"errors"},
    "engine": {"errors", "native", "gguf"},
    "prompt": {"errors", "native"},
    "llm": {"errors", "engine", "gguf", "prompt", "store"},
    "settings": {"errors"},
    "create": {"errors", "engine", "gguf", "store"},
    "runner": {"root", "errors", "engine", "prompt", "llm"},
    "scheduler": {"errors", "engine", "gguf", "runner", "settings", "store"},
    "api": {
        "root",
        "errors",
        "create",
        "engine",
        "gguf",
        "prompt",
        "runner",
        "scheduler",
        "settings",
        "store",
    },
    "server": {"errors", "api", "settings", "store"},
    "cli": {"root", "errors", "engine", "llm", "server", "settings"},
    "root": {"errors", "llm", "cli"},
}


def layer_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    if first.endswith((".py", ".pyi")):
        return "errors" if first == "errors.py" else "root"
    return first


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Modules of ours that a file imports, with the line; those inside functions too."""
    package = ".".join(path.relative_to(PACKAGE.parent).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = f"{package}.{node.module or ''}".rstrip(".") if node.level else node.module or ""
            if module == "pyollama":
                yield from ((f"pyollama.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield module, node.lineno


def layer_of_module(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "pyollama":
        return None
    if len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
        return parts[1]
    return "errors" if parts[1:2] == ["errors"] else "root"


FILES = sorted(path for path in PACKAGE.rglob("*.py") if "llama_cpp" not in path.parts)


def test_every_layer_is_known() -> None:
    """Would catch a new package that nobody gave a place."""
    assert {layer_of(path) for path in FILES} == set(ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    """Would catch an import that ties a lower layer to a higher one."""
    layer = layer_of(path)
    for module, line in imports(path):
        target = layer_of_module(module)
        allowed = target is None or target == layer or target in ALLOWED[layer]
        assert allowed, f"{path}:{line}: {layer} must not import {module}"


def run(code: str) -> str:
    # -P: the source tree in the current folder must not hide the installed package
    return subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import pyollama",
        "import pyollama.errors, pyollama.gguf, pyollama.store, pyollama.native",
        "from pyollama import LLM",
        "import pyollama.engine, pyollama.prompt, pyollama.llm, pyollama.cli",
        "import pyollama.runner, pyollama.scheduler, pyollama.create, pyollama.api, pyollama.server",
        "from pyollama.store import Store; Store.default().find('tiny').model_path",
        "from pyollama.cli.version import version_text; version_text(verbose=False)",
    ],
)
def test_importing_loads_no_native_code(statement: str) -> None:
    """Would catch llama.cpp being loaded by a program that only looks, such as a server or --version."""
    code = f"{statement}\nmaps = open('/proc/self/maps').read() if __import__('os').path.exists('/proc') else ''\n"
    assert run(code + "print('libpyollama' in maps)") == "False\n"


def test_the_version_costs_little() -> None:
    """Would catch a heavy import on the way to --version."""
    code = "import sys\nfrom pyollama.cli.version import version_text\nversion_text(verbose=False)\n"
    heavy = run(code + "print(sorted({'numpy', 'msgspec', 'psutil'} & set(sys.modules)))")
    assert heavy == "[]\n"
