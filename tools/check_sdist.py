"""Check a source distribution: all that a build needs, no more, and llama.cpp inside it.

    python tools/check_sdist.py dist/pyollama-*.tar.gz
    python tools/check_sdist.py dist/pyollama-*.tar.gz --build --out dist

With --build a wheel is built from it, as pip does for a user: in a fresh folder, with pip's build isolation.
The build must take llama.cpp from the source distribution; to be sure of that, "pip download" gets no index.

Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path, PurePosixPath

# What a build folder, an editor or a test run leaves behind.
UNWANTED = re.compile(
    r"(^|/)(__pycache__|\.git|\.github|\.venv|\.hypothesis|\.[a-z]+_cache|build|dist|[^/]*\.egg-info)(/|$)"
    r"|\.(pyc|so|o|a|dylib|whl|orig|rej|swp)$|(^|/)\.llama\.cpp\."
)
# Sources that only look like it.
WANTED = re.compile(r"(^|/)tests/build/")

# pip reads it in addition to the user's own settings, and this section counts for "pip download" alone. Build
# isolation runs "pip install" and is not disturbed.
NO_DOWNLOAD = "[download]\nno-index = true\n"


def file_names(sdist: Path) -> tuple[str, set[str], list[str]]:
    """The top folder, the files below it, and what is wrong with the archive itself."""
    problems = []
    names = set()
    tops = set()
    with tarfile.open(sdist, "r:gz") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            tops.add(path.parts[0])
            if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                problems.append(f"not a plain file inside the archive: {member.name}")
            elif member.isfile():
                names.add("/".join(path.parts[1:]))
    if len(tops) != 1:
        problems.append(f"one top folder was expected, not {sorted(tops)}")
    return sorted(tops)[0], names, problems


def check_files(sdist: Path, names: set[str]) -> list[str]:
    problems = [
        f"does not belong there: {name}" for name in sorted(names) if UNWANTED.search(WANTED.sub("", name))
    ]
    with tarfile.open(sdist, "r:gz") as tar:
        top = sdist.name.removesuffix(".tar.gz")

        def text(name: str) -> str:
            file = tar.extractfile(f"{top}/{name}")
            assert file is not None
            return file.read().decode()

        settings = tomllib.loads(text("pyproject.toml"))["tool"]["scikit-build"]
        pin = tomllib.loads(text("vendor/llama.cpp.toml"))
        stamp = text("vendor/llama.cpp/.pyollama-pin").strip()
    # The list in pyproject.toml itself: each entry is a file or a folder with files.
    for entry in settings["sdist"]["include"]:
        path = entry.strip("/")
        if path not in names and not any(name.startswith(f"{path}/") for name in names):
            problems.append(f"missing: {path}, which sdist.include lists")
    if "PKG-INFO" not in names:
        problems.append("missing: PKG-INFO, by which the build knows a source distribution")
    if stamp != pin["sha256"]:
        problems.append(f"the llama.cpp inside is {stamp}, but the pin says {pin['sha256']}")
    return problems


def build(sdist: Path, out: Path) -> list[str]:
    """A wheel from the source distribution alone."""
    with tempfile.TemporaryDirectory(prefix="pyollama-sdist.") as name:
        settings = Path(name) / "pip.conf"
        settings.write_text(NO_DOWNLOAD)
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--verbose",
            "--no-cache-dir",  # pip keeps the wheels that it builds, and would hand out an earlier one
            "--no-deps",
            "--wheel-dir",
            str(out),
            str(sdist),
        ]
        print(f"$ {shlex.join(command)}", flush=True)
        environment = os.environ | {"PIP_CONFIG_FILE": str(settings)}
        log: list[str] = []
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(f"  {line}", end="", flush=True)
                log.append(line)
    if process.returncode != 0:
        return [f"the build failed with exit code {process.returncode}; its output is above"]
    if not any("found in vendor/" in line for line in log):
        return ['configure did not report that llama.cpp was "found in vendor/"']
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a source distribution of pyollama.")
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--build", action="store_true", help="build a wheel from it too; takes minutes")
    parser.add_argument(
        "--out", type=Path, default=Path("dist"), help="where that wheel goes (default: dist)"
    )
    options = parser.parse_args()
    sdist: Path = options.sdist.resolve()
    top, names, problems = file_names(sdist)
    if top != sdist.name.removesuffix(".tar.gz"):
        problems.append(f"the top folder is {top}, but the file is {sdist.name}")
    size = sdist.stat().st_size / 1e6
    upstream = sum(name.startswith("vendor/llama.cpp/") for name in names)
    print(f"{sdist.name}: {size:.1f} MB, {len(names)} files, {upstream} of them llama.cpp's")
    problems = problems or check_files(sdist, names)
    if options.build and not problems:
        problems = build(sdist, options.out)
    for problem in problems:
        print(f"wrong: {problem}")
    print(f"{len(problems)} problems" if problems else "the source distribution is as it should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
