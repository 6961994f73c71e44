"""``pyollama --version`` and the help: quick, and without native code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyollama
from pyollama import _build

from .played import PlayedServer


def pyollama_command(*arguments: str, cwd: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line; ``code`` runs in its interpreter when it has ended."""
    wrapper = (
        f"import atexit, sys\natexit.register(lambda: exec({code!r}))\nfrom pyollama.cli import main\nmain()"
    )
    start = ["-c", wrapper] if code else ["-m", "pyollama"]
    return subprocess.run(
        [sys.executable, "-P", *start, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_version(tmp_path: Path) -> None:
    """Catches a version that is not the package's, and a llama.cpp that is not the one inside."""
    for option in ("--version", "-v"):
        done = pyollama_command(option, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        first, second = done.stdout.splitlines()
        assert first == f"pyollama version is {pyollama.__version__}"
        assert _build.LLAMA_CPP_VERSION in second
        assert _build.GGML_VERSION in second


def test_version_loads_little(tmp_path: Path) -> None:
    """Catches native code, numpy or the library in a command that needs none of them."""
    code = "import json; print(json.dumps(sorted(sys.modules)))"
    for option in ("--version", "--help"):
        done = pyollama_command(option, cwd=tmp_path, code=code)
        assert done.returncode == 0
        modules = json.loads(done.stdout.splitlines()[-1])
        assert "pyollama.cli" in modules
        unwanted = ("numpy", "psutil", "msgspec", "pyollama.engine", "pyollama.llm", "pyollama.native")
        assert [name for name in modules if name.startswith(unwanted)] == []


def test_verbose_version(tmp_path: Path) -> None:
    """Catches a report of backends that fails where there is no GPU."""
    done = pyollama_command("--version", "--verbose", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "backends: " in done.stdout
    assert "device CPU" in done.stdout
    assert "features: " in done.stdout
    assert done.stdout.endswith(": none is running\n")


def test_version_of_the_server(server: PlayedServer, tmp_path: Path) -> None:
    """Catches a server that is asked though nobody wants to know, and a report that fails with it."""
    assert pyollama_command("--version", cwd=tmp_path).returncode == 0
    assert server.requests == []
    for answer, text in [
        ({"version": "0.33.0", "pyollama": "1.2"}, "version 0.33.0, pyollama 1.2"),
        ({"version": "0.33.0"}, "version 0.33.0"),
        ((500, {"error": "no"}), "no"),
    ]:
        server.answers["GET /api/version"] = answer
        done = pyollama_command("--version", "--verbose", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(f"server {server.url}: {text}\n")


def test_help(tmp_path: Path) -> None:
    """Catches a command line that does not say what it can do, with or without being asked."""
    texts = {option: pyollama_command(*option, cwd=tmp_path) for option in [(), ("--help",), ("-h",)]}
    assert len({(done.stdout, done.stderr, done.returncode) for done in texts.values()}) == 1
    done = texts[()]
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: pyollama" in done.stdout
    commands = [line.split()[0] for line in done.stdout.partition("Commands:\n")[2].splitlines()]
    assert commands == ["serve", "run", "stop", "list", "ps"]
    for alias, name in (("ls", "list"), ("start", "serve")):
        both = [pyollama_command(command, "--help", cwd=tmp_path).stdout for command in (alias, name)]
        assert both[0].partition("\n")[2] == both[1].partition("\n")[2]
    done = pyollama_command("run", "--help", cwd=tmp_path)
    assert "MODEL [PROMPT]" in done.stdout


def test_wrong_usage(tmp_path: Path) -> None:
    """Catches a mistake that ends with 0, or with a traceback."""
    for arguments, message in [
        (["fly"], "No such command 'fly'"),
        (["--fly"], "No such option"),
        (["run"], "Missing argument 'MODEL'"),
        (["run", "tiny", "--fly"], "No such option"),
        (["stop"], "Missing argument 'MODEL'"),
        (["stop", "a", "b"], "Got unexpected extra argument (b)"),
    ]:
        done = pyollama_command(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: ")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
