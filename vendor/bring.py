"""Bring the pinned llama.cpp into vendor/llama.cpp.

    python vendor/bring.py                    # download with pip where the tree is absent or not the pinned one
    python vendor/bring.py --archive FILE     # the same from a file that is already here

CMake runs this at every configure. The upstream tree comes out of a source distribution on the Python
Package Index, and pip downloads it, so that a user's own index, proxy and certificates hold. Nothing of
the archive is used before its sha256 is the one in llama.cpp.toml.

Prints what CMake needs to know as key=value lines; everything for people goes to the error output.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

VENDOR = Path(__file__).resolve().parent
PIN = VENDOR / "llama.cpp.toml"
TREE = VENDOR / "llama.cpp"
# Written last, inside the tree: a tree without it is not complete. It travels in our source distribution.
STAMP = ".pyollama-pin"


class Pin(NamedTuple):
    package: str
    version: str
    sha256: str
    subdirectory: str
    exclude: list[str]

    @classmethod
    def read(cls, path: Path) -> "Pin":
        return cls(**tomllib.loads(path.read_text(encoding="utf-8")))

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


class BringError(Exception):
    """Carries the whole message for the person who builds."""


def wrong_hash(pin: Pin, found: str, what: str) -> BringError:
    return BringError(
        f"{what} is not the pinned {pin.requirement}:\n"
        f"  expected sha256  {pin.sha256}\n"
        f"  found sha256     {found}\n"
        "The package index or a proxy served another file, or the pin in vendor/llama.cpp.toml is wrong. "
        "Nothing of the file was used."
    )


def is_current(pin: Pin, tree: Path) -> bool:
    try:
        return (tree / STAMP).read_text(encoding="ascii").strip() == pin.sha256
    except (OSError, UnicodeDecodeError):
        return False


def download(pin: Pin, folder: Path) -> Path:
    """The archive, downloaded by pip into `folder`."""
    requirements = folder / "requirements.txt"
    # The hash is given to pip too: for a source distribution pip runs the package's own build backend to
    # read its name and version, and must not do so with a file that nobody checked.
    requirements.write_text(f"{pin.requirement} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "download"),
        *("--disable-pip-version-check", "--no-input", "--progress-bar", "off"),
        *("--require-hashes", "--no-deps", "--no-binary", ":all:"),
        # No isolation: the build backend is among our own build requirements, so the one file is the
        # only thing that is downloaded.
        *("--no-build-isolation", "--dest", str(folder), "--requirement", str(requirements)),
    ]
    print(
        f"pyollama: downloading {pin.requirement} (source of llama.cpp) with pip", file=sys.stderr, flush=True
    )
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    sys.stderr.write(result.stdout)
    if result.returncode != 0:
        # pip's own report of a wrong hash: "Got <hex>".
        got = re.search(r"\bGot\s+([0-9a-f]{64})\b", result.stdout)
        if got:
            raise wrong_hash(pin, got[1], "The downloaded file")
        raise BringError(
            f"pip could not download {pin.requirement}, which holds the source of llama.cpp; pip's own message is "
            "above.\n"
            "Without a network, either\n"
            "  - set PYOLLAMA_LLAMA_CPP_DIR to the root of a llama.cpp checkout of the same version, or\n"
            "  - run 'python vendor/bring.py --archive FILE' with a copy of that source distribution, or\n"
            "  - install pyollama from its own source distribution or a wheel, which need no download.\n"
            "With an index of your own, give it to pip as usual (PIP_INDEX_URL or pip.conf)."
        )
    archives = sorted(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        raise BringError(
            f"pip downloaded {[a.name for a in archives]} for {pin.requirement}; one .tar.gz was expected."
        )
    return archives[0]


def check_hash(pin: Pin, archive: Path) -> None:
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != pin.sha256:
        raise wrong_hash(pin, found, str(archive))


def unpack(pin: Pin, archive: Path, destination: Path) -> None:
    """The upstream tree of the archive as `destination`, which must not exist; whole or not at all."""
    excluded = set(pin.exclude)
    inside = PurePosixPath(pin.subdirectory)
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            # Regular files only: a link or a device could point out of the tree, and upstream has none.
            # The first part is the folder that every source distribution has.
            if not member.isfile() or name.is_absolute() or ".." in name.parts:
                continue
            try:
                path = PurePosixPath(*name.parts[1:]).relative_to(inside)
            except ValueError:
                continue
            if path.parts[0] in excluded:
                continue
            target = destination.joinpath(*path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None  # it is a regular file
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
            target.chmod(0o755 if member.mode & 0o100 else 0o644)
            # The archive's own time: a tree that is brought again recompiles nothing.
            os.utime(target, (member.mtime, member.mtime))
    if not (destination / "include" / "llama.h").is_file():
        raise BringError(
            f"{archive} has no {inside}/include/llama.h; its layout is not the one vendor/llama.cpp.toml says."
        )
    (destination / STAMP).write_text(f"{pin.sha256}\n", encoding="ascii")


def replace_tree(new: Path, tree: Path, scratch: Path) -> None:
    """Two renames, so that a build beside this one sees the old tree or the new one, never half of one."""
    if tree.exists():
        tree.rename(scratch / "old")
    new.rename(tree)


def bring(pin: Pin, archive: Path | None, vendor: Path = VENDOR) -> str:
    """Make vendor/llama.cpp the pinned tree; returns how, in words."""
    tree = vendor / TREE.name
    if archive is None and is_current(pin, tree):
        return "found in vendor/, as pinned"
    # Beside the destination: a rename must not cross file systems.
    with tempfile.TemporaryDirectory(prefix=".llama.cpp.", dir=vendor) as name:
        scratch = Path(name)
        source = archive or download(pin, scratch)
        check_hash(pin, source)
        unpack(pin, source, scratch / "new")
        replace_tree(scratch / "new", tree, scratch)
    return "brought with pip" if archive is None else f"brought from {archive}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Bring the pinned llama.cpp into vendor/llama.cpp.")
    parser.add_argument(
        "--archive", type=Path, help="use this copy of the source distribution; nothing is downloaded"
    )
    options = parser.parse_args()
    pin = Pin.read(PIN)
    try:
        origin = bring(pin, options.archive)
    except (BringError, OSError, tarfile.TarError) as error:
        print(f"\npyollama: {error}\n", file=sys.stderr)
        return 1
    print(
        f"dir={TREE.as_posix()}\npackage={pin.package}\nversion={pin.version}\nsha256={pin.sha256}\norigin={origin}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
