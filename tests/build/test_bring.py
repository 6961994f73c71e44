"""vendor/bring.py: only the pinned archive is used, whole or not at all, and a failure says what to do.

Each test works on a vendor folder of its own with a small archive; nothing here needs a network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
BRING = ROOT / "vendor" / "bring.py"

PACKAGE = "fake-llama"
VERSION = "1.0"
TOP = "fake_llama-1.0"
INSIDE = f"{TOP}/vendor/llama.cpp"
MTIME = 1_600_000_000

# A build backend inside the archive, as pip runs one to read a source distribution's name and version.
# It leaves a mark, so that a test can tell whether the archive's own code was run.
BACKEND = """
import os
from pathlib import Path

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    Path(os.environ["MARK"]).write_text("run")
    folder = Path(metadata_directory, "fake_llama-1.0.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: fake-llama\\nVersion: 1.0\\n")
    (folder / "WHEEL").write_text("Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    return folder.name
"""

FILES = {
    f"{TOP}/pyproject.toml": """[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
""",
    f"{TOP}/PKG-INFO": "Metadata-Version: 2.1\nName: fake-llama\nVersion: 1.0\n",
    f"{TOP}/backend.py": BACKEND,
    f"{TOP}/llama_cpp/__init__.py": "not wanted\n",
    f"{INSIDE}/include/llama.h": "the new header\n",
    f"{INSIDE}/src/llama.cpp": "the new source\n",
    f"{INSIDE}/docs/large.md": "excluded\n",
    f"{INSIDE}/src/docs/kept.md": "only the top folder of this name is excluded\n",
}


def write_archive(path: Path, files: dict[str, str], extra: list[tarfile.TarInfo] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info in extra or []:
            tar.addfile(info, io.BytesIO(b"x" * info.size) if info.isreg() else None)
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = MTIME
            info.mode = 0o755 if name.endswith(".py") else 0o640
            tar.addfile(info, io.BytesIO(data))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_pin(vendor: Path, digest: str) -> None:
    (vendor / "llama.cpp.toml").write_text(
        f'package = "{PACKAGE}"\nversion = "{VERSION}"\nsha256 = "{digest}"\n'
        'subdirectory = "vendor/llama.cpp"\nexclude = ["docs"]\n'
    )


def write_old_tree(vendor: Path, stamp: str | None) -> None:
    (vendor / "llama.cpp" / "include").mkdir(parents=True)
    (vendor / "llama.cpp" / "include" / "llama.h").write_text("the old header\n")
    if stamp is not None:
        (vendor / "llama.cpp" / ".pyollama-pin").write_text(f"{stamp}\n")


def snapshot(folder: Path) -> dict[str, str | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    folder = tmp_path / "vendor"
    folder.mkdir()
    shutil.copy(BRING, folder)
    return folder


@pytest.fixture
def archive(vendor: Path, tmp_path: Path) -> Path:
    """The pinned archive, outside the vendor folder."""
    path = write_archive(tmp_path / f"{TOP}.tar.gz", FILES)
    write_pin(vendor, sha256(path))
    return path


def run(vendor: Path, *arguments: object, index: str | None = None) -> subprocess.CompletedProcess[str]:
    """The script as CMake runs it. Nothing of this machine's pip settings counts, only `index`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index or closed_index(),
        "PIP_RETRIES": "0",
        "PIP_NO_CACHE_DIR": "1",
        "MARK": str(vendor.parent / "backend-was-run"),
        # The same text whatever the language of the person who runs the tests.
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [sys.executable, str(vendor / "bring.py"), *map(str, arguments)],
        check=False,
        cwd=vendor.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def closed_index() -> str:
    """The address of a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/simple"


def local_index(folder: Path, archive: Path) -> str:
    """A package index of files that offers one archive."""
    project = folder / "index" / PACKAGE
    project.mkdir(parents=True)
    shutil.copy(archive, project)
    (project / "index.html").write_text(f'<!DOCTYPE html><a href="{archive.name}">{archive.name}</a>')
    return (folder / "index").as_uri()


def load(vendor: Path) -> ModuleType:
    """The script as a module, for tests that break one of its steps."""
    spec = importlib.util.spec_from_file_location("pyollama_bring", vendor / "bring.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_archive(vendor: Path, archive: Path) -> None:
    """Catches too much or too little in the tree, lost modes and times, and output that CMake cannot read."""
    done = run(vendor, "--archive", archive)
    assert done.returncode == 0, done.stderr
    assert dict(line.split("=", 1) for line in done.stdout.splitlines()) == {
        "dir": str(vendor / "llama.cpp"),
        "package": PACKAGE,
        "version": VERSION,
        "sha256": sha256(archive),
        "origin": f"brought from {archive}",
    }
    assert snapshot(vendor / "llama.cpp") == {
        ".pyollama-pin": f"{sha256(archive)}\n",
        "include": None,
        "include/llama.h": "the new header\n",
        "src": None,
        "src/llama.cpp": "the new source\n",
        "src/docs": None,
        "src/docs/kept.md": "only the top folder of this name is excluded\n",
    }
    status = (vendor / "llama.cpp" / "src" / "llama.cpp").stat()
    assert status.st_mtime == MTIME, "a tree that is brought again would be compiled again"
    assert status.st_mode & 0o777 == 0o644
    assert archive.is_file(), "the person's own copy stays"
    assert leftovers(vendor) == []


def leftovers(vendor: Path) -> list[str]:
    return sorted(
        {path.name for path in vendor.iterdir()} - {"bring.py", "llama.cpp.toml", "llama.cpp", "__pycache__"}
    )


@pytest.mark.parametrize("old", [False, True])
def test_wrong_hash_of_a_file(vendor: Path, archive: Path, old: bool) -> None:
    """Catches a changed archive that is used, or costs the old tree, and a message without the facts."""
    if old:
        write_old_tree(vendor, "0" * 64)
    before = snapshot(vendor)
    found = sha256(archive)
    write_pin(vendor, "f" * 64)
    before["llama.cpp.toml"] = (vendor / "llama.cpp.toml").read_text()
    done = run(vendor, "--archive", archive)
    assert done.returncode == 1
    assert done.stdout == "", "CMake must find no facts"
    assert "f" * 64 in done.stderr
    assert found in done.stderr
    assert "Nothing of the file was used." in done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(vendor) == before


def test_wrong_hash_of_a_download(vendor: Path, archive: Path, tmp_path: Path) -> None:
    """Catches an index that serves another file and gets its code run: pip runs it to read the name."""
    found = sha256(archive)
    write_pin(vendor, "f" * 64)
    done = run(vendor, index=local_index(tmp_path, archive))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "f" * 64 in done.stderr
    assert found in done.stderr
    assert "Nothing of the file was used." in done.stderr
    assert not (tmp_path / "backend-was-run").exists()
    assert not (vendor / "llama.cpp").exists()
    assert leftovers(vendor) == []


def test_download(vendor: Path, archive: Path, tmp_path: Path) -> None:
    """Catches a pip command that cannot fetch a source distribution from the user's own index."""
    done = run(vendor, index=local_index(tmp_path, archive))
    assert done.returncode == 0, done.stderr
    assert "origin=brought with pip" in done.stdout.splitlines()
    assert (tmp_path / "backend-was-run").exists(), "the mark works, so its absence elsewhere means something"
    assert (vendor / "llama.cpp" / "include" / "llama.h").read_text() == "the new header\n"
    assert leftovers(vendor) == []


def test_no_network_names_three_ways_out(vendor: Path, archive: Path) -> None:
    """Catches a builder without a network who is left with pip's message alone."""
    done = run(vendor)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "127.0.0.1" in done.stderr or "No matching distribution" in done.stderr, "pip's own message"
    ours = done.stderr[done.stderr.index("pyollama: pip could not download") :]
    assert "PYOLLAMA_LLAMA_CPP_DIR" in ours
    assert "vendor/bring.py --archive FILE" in ours
    assert "source distribution or a wheel" in ours
    assert "PIP_INDEX_URL" in ours
    assert "Traceback" not in done.stderr
    assert not (vendor / "llama.cpp").exists()
    assert leftovers(vendor) == []


def test_a_current_tree_is_left_alone(vendor: Path, archive: Path) -> None:
    """Catches a download at every configure; with the index closed, one would fail."""
    write_old_tree(vendor, sha256(archive))
    (vendor / "llama.cpp" / "edited-by-a-developer").write_text("kept\n")
    before = snapshot(vendor)
    done = run(vendor)
    assert done.returncode == 0, done.stderr
    assert "origin=found in vendor/, as pinned" in done.stdout.splitlines()
    assert done.stderr == ""
    assert snapshot(vendor) == before


@pytest.mark.parametrize("stamp", [None, "0" * 64, "\N{SNOWMAN}"])
def test_a_tree_that_is_not_the_pinned_one_is_replaced(
    vendor: Path, archive: Path, tmp_path: Path, stamp: str | None
) -> None:
    """Catches a build from an unfinished tree or from the tree of an older pin."""
    write_old_tree(vendor, stamp)
    (vendor / "llama.cpp" / "removed-upstream.cpp").write_text("old\n")
    done = run(vendor, index=local_index(tmp_path, archive))
    assert done.returncode == 0, done.stderr
    assert (vendor / "llama.cpp" / "include" / "llama.h").read_text() == "the new header\n"
    assert not (vendor / "llama.cpp" / "removed-upstream.cpp").exists()
    assert leftovers(vendor) == []


def hostile_members(outside: Path) -> list[tarfile.TarInfo]:
    def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type = kind
        info.linkname = target
        info.size = 1 if kind == tarfile.REGTYPE else 0
        return info

    return [
        member(f"{outside}/absolute"),
        member(f"/{INSIDE}/absolute"),
        member(f"{INSIDE}/../../../../outside/dotdot"),
        member(f"{INSIDE}/../sibling"),
        member("../outside/first"),
        member(f"{INSIDE}/link", tarfile.SYMTYPE, str(outside)),
        member(f"{INSIDE}/link/through-the-link"),
        member(f"{INSIDE}/include", tarfile.SYMTYPE, str(outside)),
        member(f"{INSIDE}/src/up", tarfile.SYMTYPE, "../../../outside"),
        member(f"{INSIDE}/secret", tarfile.SYMTYPE, "/etc/passwd"),
        member(f"{INSIDE}/hard", tarfile.LNKTYPE, f"{TOP}/PKG-INFO"),
        member(f"{INSIDE}/pipe", tarfile.FIFOTYPE),
        member(f"{INSIDE}/device", tarfile.CHRTYPE),
    ]


def test_hostile_members_stay_out(vendor: Path, tmp_path: Path) -> None:
    """Catches an archive that writes beside the tree, by its names or through links that it brings itself."""
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = write_archive(tmp_path / f"{TOP}.tar.gz", FILES, hostile_members(outside))
    write_pin(vendor, sha256(archive))
    done = run(vendor, "--archive", archive)
    assert done.returncode == 0, done.stderr
    assert list(outside.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name, "outside", "vendor"]
    assert leftovers(vendor) == []
    # "link" was left out as a link; a file that names it as a folder lands in a real folder of the tree.
    tree = list((vendor / "llama.cpp").rglob("*"))
    assert [path for path in tree if path.is_symlink() or not (path.is_file() or path.is_dir())] == []
    assert {path.name for path in tree if path.is_file()} == {
        *(".pyollama-pin", "llama.h", "llama.cpp", "kept.md", "through-the-link")
    }


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), Interrupted()]
)
@pytest.mark.parametrize("step", ["copyfileobj", "utime", "stamp"])
def test_an_interrupted_unpack_leaves_the_old_tree(
    vendor: Path, archive: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    """Catches a full disk or Ctrl-C that leaves half a tree, or none, or scratch files."""
    write_old_tree(vendor, "0" * 64)
    before = snapshot(vendor)
    bring = load(vendor)
    calls = 0

    def fail(*_arguments: object, **_options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2 or step == "stamp":
            raise error

    if step == "copyfileobj":
        monkeypatch.setattr(bring.shutil, "copyfileobj", fail)
    elif step == "utime":
        monkeypatch.setattr(bring.os, "utime", fail)
    else:
        monkeypatch.setattr(bring.Path, "write_text", fail)
    with pytest.raises(type(error)):
        bring.bring(bring.Pin.read(vendor / "llama.cpp.toml"), archive, vendor)
    monkeypatch.undo()
    assert calls
    after = snapshot(vendor)
    assert {name: text for name, text in after.items() if "__pycache__" not in name} == before


def test_a_killed_unpack_leaves_the_old_tree(vendor: Path, archive: Path) -> None:
    """Catches a tree that is written in place: nothing tidies up after SIGKILL."""
    write_old_tree(vendor, "0" * 64)
    killer = (
        "import os, runpy, shutil, signal, sys\n"
        "shutil.copyfileobj = lambda *files: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", killer, str(vendor / "bring.py"), "--archive", str(archive)],
        check=False,
        timeout=60,
    )
    assert done.returncode == -9
    assert snapshot(vendor / "llama.cpp") == {
        "include": None,
        "include/llama.h": "the old header\n",
        ".pyollama-pin": "0" * 64 + "\n",
    }
    assert run(vendor, "--archive", archive).returncode == 0, "the next run is not disturbed by what is left"
    assert (vendor / "llama.cpp" / "include" / "llama.h").read_text() == "the new header\n"


def test_an_archive_of_another_layout(vendor: Path, tmp_path: Path) -> None:
    """Catches a new release that moved the tree: an empty folder must not become the tree."""
    archive = write_archive(tmp_path / "other.tar.gz", {f"{TOP}/src/llama.cpp/include/llama.h": "moved\n"})
    write_pin(vendor, sha256(archive))
    write_old_tree(vendor, "0" * 64)
    done = run(vendor, "--archive", archive)
    assert done.returncode == 1
    assert "vendor/llama.cpp/include/llama.h" in done.stderr
    assert "Traceback" not in done.stderr
    assert (vendor / "llama.cpp" / "include" / "llama.h").read_text() == "the old header\n"
    assert leftovers(vendor) == []


@pytest.mark.parametrize("text", [b"", b"no archive at all"])
def test_a_file_that_is_no_archive(vendor: Path, tmp_path: Path, text: bytes) -> None:
    """Catches a traceback where a sentence is due."""
    archive = tmp_path / "file.tar.gz"
    archive.write_bytes(text)
    write_pin(vendor, sha256(archive))
    for path in (archive, tmp_path / "absent.tar.gz"):
        done = run(vendor, "--archive", path)
        assert done.returncode == 1
        assert "pyollama: " in done.stderr
        assert "Traceback" not in done.stderr
        assert leftovers(vendor) == []


def test_the_real_pin_agrees_with_the_package_list(vendor: Path) -> None:
    """Catches a package list with names that bring.py leaves out, or that a new llama.cpp no longer has."""
    pin = load(vendor).Pin.read(ROOT / "vendor" / "llama.cpp.toml")
    assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]
    prefix = "/vendor/llama.cpp/"
    listed = [name.removeprefix(prefix) for name in settings["sdist"]["include"] if name.startswith(prefix)]
    assert listed
    assert not {name.split("/")[0] for name in listed} & set(pin.exclude)
    tree = ROOT / "vendor" / "llama.cpp"
    if tree.is_dir():  # a build from PYOLLAMA_LLAMA_CPP_DIR brings none
        assert [name for name in listed if not (tree / name).exists()] == []
