"""The installed package: it needs nothing outside its own folder, is quiet, and says how it was built.

All of it holds for a wheel and for an editable install alike.
"""

from __future__ import annotations

import importlib
import importlib.resources
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Symbol, SymbolTableSection

import pyollama
from pyollama import _build
from pyollama.native import LIBRARY_DIR

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "pyollama"
EXTENSIONS = sorted(path.stem for path in (ROOT / "csrc" / "bindings").rglob("*.pyx"))
LIBRARIES = sorted(path for path in LIBRARY_DIR.iterdir() if re.search(r"\.so(\.|$)", path.name))

# What every Linux with glibc has, or a C++ compiler brings.
PLATFORM = re.compile(r"(libc|libm|libstdc\+\+|libgcc_s|libpthread|libdl|librt|ld-linux[a-z0-9-]*)\.so\.\d+")

elf = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files; only Linux has them")
unsanitized = pytest.mark.skipif(bool(_build.SANITIZER), reason="a sanitizer brings a library of its own")


@pytest.fixture(params=LIBRARIES, ids=lambda path: path.name)
def library(request: pytest.FixtureRequest) -> Iterator[ELFFile]:
    with request.param.open("rb") as file:
        yield ELFFile(file)


def dynamic_tags(library: ELFFile, name: str) -> list[str]:
    """The texts of the tags DT_NEEDED, DT_SONAME, DT_RUNPATH or DT_RPATH."""
    section = library.get_section_by_name(".dynamic")
    assert isinstance(section, DynamicSection)
    return [getattr(tag, name.removeprefix("DT_").lower()) for tag in section.iter_tags(name)]


def exported(library: ELFFile) -> list[Symbol]:
    section = library.get_section_by_name(".dynsym")
    assert isinstance(section, SymbolTableSection)
    return [
        symbol
        for symbol in section.iter_symbols()
        if symbol.name and symbol["st_shndx"] != "SHN_UNDEF" and symbol["st_info"]["bind"] != "STB_LOCAL"
    ]


def run_python(code: str, *options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in a folder where no source tree hides the installed package."""
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        check=False,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_all_extension_modules_are_there() -> None:
    """Catches a binding that was compiled but not installed, and one that is left from an earlier source."""
    assert EXTENSIONS
    names = sorted(path.name for path in LIBRARY_DIR.glob("*.abi3.so"))
    assert names == [f"{name}.abi3.so" for name in EXTENSIONS]
    for name in EXTENSIONS:
        importlib.import_module(f"pyollama.native.{name}")


def test_nothing_but_libraries_of_our_own_names() -> None:
    """Catches a libllama.so, which the loader would mix up with another package's, and symbolic links, which
    a wheel stores as second copies."""
    loadable = {f"lib{backend}.so" for backend in _build.BACKENDS} if _build.CPU == "portable" else set()
    for path in LIBRARY_DIR.iterdir():
        assert not path.is_symlink(), path.name
        if path.suffix in {".py", ".pyi"} or path.name == "__pycache__":
            continue
        own = re.fullmatch(r"(libpyollama-[a-z0-9-]+|[a-z_]+\.abi3)\.so", path.name) or path.name in loadable
        assert own, f"{path.name} is not a name of our own"


def test_every_backend_is_there() -> None:
    """Catches a backend that configure reported and nobody built."""
    assert _build.BACKENDS
    for backend in _build.BACKENDS:
        assert any((LIBRARY_DIR / f"lib{prefix}{backend}.so").is_file() for prefix in ("pyollama-", "")), (
            backend
        )


@elf
@unsanitized
def test_needs_only_its_neighbours_and_the_platform(library: ELFFile) -> None:
    """Catches libgomp, libcurl, libssl and the like, which a machine may lack and other packages bring."""
    neighbours = {path.name for path in LIBRARIES}
    needed = dynamic_tags(library, "DT_NEEDED")
    assert [name for name in needed if name not in neighbours and not PLATFORM.fullmatch(name)] == []


@elf
def test_run_path_is_its_own_folder(library: ELFFile) -> None:
    """Catches a path of the machine that built it, where another user could put a library."""
    assert dynamic_tags(library, "DT_RPATH") == []
    assert dynamic_tags(library, "DT_RUNPATH") == ["$ORIGIN"]


@elf
def test_soname_is_the_file_name(library: ELFFile) -> None:
    """Catches a library that was renamed as a file only: the loader compares the name inside."""
    name = Path(library.stream.name).name
    assert dynamic_tags(library, "DT_SONAME") in ([name], [] if name.endswith(".abi3.so") else [name])


@elf
def test_no_symbol_is_unique_in_the_process(library: ELFFile) -> None:
    """Catches STB_GNU_UNIQUE (binding 10): variables shared with another package's copy of llama.cpp."""
    assert [
        symbol.name for symbol in exported(library) if symbol["st_info"]["bind"] in {"STB_LOOS", 10}
    ] == []


@elf
@pytest.mark.parametrize("name", EXTENSIONS)
def test_extensions_export_their_start_only(name: str) -> None:
    """Catches a binding whose own functions other libraries could take for theirs."""
    with (LIBRARY_DIR / f"{name}.abi3.so").open("rb") as file:
        names = [symbol.name for symbol in exported(ELFFile(file))]
    assert [symbol for symbol in names if not symbol.startswith("_Z")] == [f"PyInit_{name}"]


@elf
@unsanitized
def test_engine_exports_nothing_of_llama_cpp() -> None:
    """Catches llama.cpp's "common" (its templates, parsers, JSON library) in reach of other packages.

    Allowed are names inside our namespace, and what the compiler makes of the standard library's templates:
    those are visible whatever a project says, but one over a type of "common" must not be among them.
    """
    with (LIBRARY_DIR / "libpyollama-engine.so").open("rb") as file:
        names = [symbol.name for symbol in exported(ELFFile(file))]
    own = re.compile(r"_ZT?[VTIS]?(N[VK]*)?8pyollama")
    standard = re.compile(r"_Z{1,2}(T[VTIS]|GV)?(N[VK]*)?S[tabsiod]")
    foreign = re.compile(r"common_|nlohmann|jinja|\d(llama|ggml|gguf)_")
    assert sum(1 for name in names if own.match(name)) > 20, "the pattern finds our own names"
    assert [name for name in names if not own.match(name) and not standard.match(name)] == []
    assert [name for name in names if standard.match(name) and foreign.search(name)] == []


def test_import_is_quiet_and_loads_no_native_code(tmp_path: Path) -> None:
    """Catches a banner, a log line, and a server process that maps llama.cpp only because it imports us."""
    code = (
        "import sys; before = set(sys.modules); import pyollama\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "assert new - set(sys.stdlib_module_names) == {'pyollama'}, new\n"
        "import pyollama.native\n"
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else ''\n"
        "found = [line for line in maps.splitlines() if 'llama' in line or 'ggml' in line]\n"
        "assert not found, found\n"
    )
    done = run_python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")


@elf
def test_the_look_at_the_maps_works(tmp_path: Path) -> None:
    """Catches a silent pass of the test above: after a native import the libraries are found."""
    code = "import pyollama.native.backend; print(open('/proc/self/maps').read())"
    done = run_python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "libpyollama-llama.so" in done.stdout


def test_import_is_fast(tmp_path: Path) -> None:
    """Catches an import at the top that pulls in numpy or the whole program. It takes about 10 ms."""
    code = "import time; t = time.perf_counter(); import pyollama; print(time.perf_counter() - t)"
    assert min(float(run_python(code, cwd=tmp_path).stdout) for _ in range(3)) < 0.3


def copy_source(destination: Path) -> Path:
    shutil.copytree(
        SOURCE,
        destination / "pyollama",
        ignore=shutil.ignore_patterns("_build.py", "__pycache__", "*.so", "models"),
    )
    return destination


def import_from(tree: Path, module: str) -> str:
    """The error of an import in a tree, as text. Without the site module no installed copy is in the way."""
    done = run_python(f"import sys; sys.path.insert(0, {str(tree)!r}); import {module}", "-S", cwd=tree)
    assert done.returncode == 1, "it was imported"
    return done.stderr


@pytest.mark.parametrize("module", ["pyollama", "pyollama.errors", "pyollama.native"])
def test_an_uncompiled_source_tree_says_what_to_type(tmp_path: Path, module: str) -> None:
    """Catches "cannot import name '_build'", from which nobody guesses that the folder is at fault."""
    tree = copy_source(tmp_path)
    (tree / "pyproject.toml").touch()
    error = import_from(tree, module)
    assert "\nImportError: " in error
    assert f"-m pip install {tree}" in error
    assert str(tree / "pyollama") in error
    assert "-P" in error, "how to use a copy that is installed already"


def test_a_damaged_installation_says_what_to_type(tmp_path: Path) -> None:
    """Catches advice for a source tree where there is none."""
    error = import_from(copy_source(tmp_path), "pyollama")
    assert "\nImportError: " in error
    assert "-m pip install --force-reinstall pyollama" in error


def test_build_facts_are_the_pin() -> None:
    """Catches an installed copy that was built from another llama.cpp than the sources say."""
    if _build.LLAMA_CPP_VERSION == "unpinned":
        pytest.skip("built from PYOLLAMA_LLAMA_CPP_DIR, which no pin describes")
    pin = tomllib.loads((ROOT / "vendor" / "llama.cpp.toml").read_text())
    built = [_build.LLAMA_CPP_PACKAGE, _build.LLAMA_CPP_VERSION, _build.LLAMA_CPP_SHA256]
    assert built == [pin["package"], pin["version"], pin["sha256"]]
    assert re.fullmatch(r"\d+\.\d+\.\d+", _build.GGML_VERSION)


def test_type_checkers_may_read_it() -> None:
    """Catches a package without the marker, whose annotations every type checker ignores."""
    assert importlib.resources.files("pyollama").joinpath("py.typed").is_file()
    assert pyollama.__version__


def test_llama_cpp_comes_with_its_licence_and_converter() -> None:
    """Catches llama.cpp's code without its terms, and a converter without the gguf module of its version."""
    (converter,) = Path(_build.__file__).parent.rglob("convert_hf_to_gguf.py")
    folder = converter.parent
    assert "The ggml authors" in (folder / "LICENSE").read_text()
    for name in ("convert_lora_to_gguf.py", "conversion/base.py", "gguf-py/gguf/__init__.py"):
        assert (folder / name).is_file(), name
