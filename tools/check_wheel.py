"""Check a built wheel: our files and nothing else, the right tag, every licence.

    python tools/check_wheel.py dist/pyollama-*.whl

Prints its size and its largest files, and what is wrong with it, if anything; exit code 1 then.
"""

from __future__ import annotations

import argparse
import email
import re
import stat
import sys
import zipfile
from pathlib import Path

# Every file of a wheel matches one of these. A new kind of file is a decision, made here.
ALLOWED = [
    # The package. Its tests, its Cython sources and its headers stay out.
    r"pyollama/(?!models/|tests/)([a-z_0-9]+/)*[A-Za-z_0-9]+\.pyi?",
    r"pyollama/py\.typed",
    # The embedded models, in the layout of the store.
    r"pyollama/models/blobs/sha256-[0-9a-f]{64}",
    r"pyollama/models/manifests/registry\.ollama\.ai/library/[a-z0-9._-]+/[a-z0-9._-]+",
    # Compiled code.
    r"pyollama/native/[a-z_]+\.abi3\.so",
    r"pyollama/native/libpyollama-[a-z0-9-]+\.(so|dylib)",
    # Loadable backends, which ggml looks for by its own names (PYOLLAMA_PORTABLE).
    r"pyollama/native/libggml-[a-z0-9_-]+\.so",
    # llama.cpp's converter with the gguf module of the same tree, and its licence.
    r"pyollama/convert/llama_cpp/(convert_hf_to_gguf|convert_lora_to_gguf)\.py",
    r"pyollama/convert/llama_cpp/conversion/[A-Za-z_0-9]+\.py",
    r"pyollama/convert/llama_cpp/gguf-py/gguf/([a-z_]+/)*[A-Za-z_0-9]+\.py",
    r"pyollama/convert/llama_cpp/LICENSE",
    # Metadata.
    r"pyollama-[^/]+\.dist-info/(METADATA|RECORD|WHEEL|entry_points\.txt)",
    r"pyollama-[^/]+\.dist-info/licenses/(LICENSE|vendor/licenses/[A-Za-z0-9._-]+\.txt)",
]

# Files without which a wheel is not whole, as patterns too.
NEEDED = [
    r"pyollama/__init__\.py",
    r"pyollama/_build\.py",
    r"pyollama/py\.typed",
    r"pyollama/models/manifests/registry\.ollama\.ai/library/tiny/latest",
    r"pyollama/native/engine\.abi3\.so",
    r"pyollama/native/libpyollama-engine\.(so|dylib)",
    r"pyollama/native/libpyollama-llama\.(so|dylib)",
    r"pyollama/native/lib(pyollama-)?ggml-cpu.*\.(so|dylib)",
    r"pyollama/convert/llama_cpp/convert_hf_to_gguf\.py",
    r"pyollama/convert/llama_cpp/conversion/__init__\.py",
    r"pyollama/convert/llama_cpp/gguf-py/gguf/__init__\.py",
    r"pyollama/convert/llama_cpp/LICENSE",
]

# Ours, llama.cpp's, and those of code inside llama.cpp that comes into our libraries and has terms of its own.
LICENSES = [
    "LICENSE",
    "vendor/licenses/llama.cpp.txt",
    "vendor/licenses/llamafile.txt",
    "vendor/licenses/nlohmann-json.txt",
    "vendor/licenses/yarn.txt",
]

TAG = re.compile(r"cp311-abi3-(linux|manylinux_\d+_\d+|macosx_\d+_\d+)_[a-z0-9_]+")


def matches(patterns: list[str], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def check_files(wheel: zipfile.ZipFile) -> list[str]:
    entries = [entry for entry in wheel.infolist() if not entry.is_dir()]
    names = [entry.filename for entry in entries]
    problems = [f"not on the list of allowed files: {name}" for name in names if not matches(ALLOWED, name)]
    problems += [
        f"missing: {pattern}" for pattern in NEEDED if not any(re.fullmatch(pattern, name) for name in names)
    ]
    problems += [f"twice in the archive: {name}" for name in sorted(set(names)) if names.count(name) > 1]
    for entry in entries:
        if stat.S_ISLNK(entry.external_attr >> 16):
            problems.append(f"a symbolic link: {entry.filename}")
        if entry.file_size == 0 and not entry.filename.endswith((".py", "py.typed")):
            problems.append(f"empty: {entry.filename}")
    return problems


def check_metadata(wheel: zipfile.ZipFile, filename: str) -> list[str]:
    problems = []
    (folder,) = {name.split("/")[0] for name in wheel.namelist() if name.split("/")[0].endswith(".dist-info")}
    tags = email.message_from_bytes(wheel.read(f"{folder}/WHEEL")).get_all("Tag", [])
    if not tags or not all(TAG.fullmatch(tag) for tag in tags):
        problems.append(f"the tag is {', '.join(tags) or 'missing'}; expected cp311-abi3-<platform>")
    # A file may name several platforms at once, joined by dots.
    if not all(tag.rsplit("-", 1)[-1] in filename for tag in tags):
        problems.append(f"the file name {filename} does not have the tag {', '.join(tags)}")
    metadata = email.message_from_bytes(wheel.read(f"{folder}/METADATA"))
    if metadata["License-Expression"] != "MIT":
        problems.append(f"License-Expression is {metadata['License-Expression']!r}; expected 'MIT'")
    listed = metadata.get_all("License-File", [])
    for name in LICENSES:
        if name not in listed:
            problems.append(f"METADATA does not list the licence {name}; it has {listed}")
    for name in listed:
        if f"{folder}/licenses/{name}" not in wheel.namelist():
            problems.append(f"METADATA lists the licence {name}, but the file is not in the wheel")
    return problems


def report(path: Path, wheel: zipfile.ZipFile) -> None:
    entries = sorted(wheel.infolist(), key=lambda entry: -entry.file_size)
    unpacked = sum(entry.file_size for entry in entries)
    sizes = f"{path.stat().st_size / 1e6:.1f} MB, unpacked {unpacked / 1e6:.1f} MB"
    print(f"{path.name}: {sizes}, {len(entries)} files")
    for entry in entries[:10]:
        print(
            f"  {entry.file_size / 1e6:6.2f} MB, {entry.compress_size / 1e6:6.2f} MB packed  {entry.filename}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a built wheel of pyollama.")
    parser.add_argument("wheel", type=Path)
    path: Path = parser.parse_args().wheel
    with zipfile.ZipFile(path) as wheel:
        report(path, wheel)
        problems = [*check_files(wheel), *check_metadata(wheel, path.name)]
    for problem in problems:
        print(f"wrong: {problem}")
    print(f"{len(problems)} problems" if problems else "the wheel is as it should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
