"""Compiled modules and their stubs say the same: names, members of classes, arguments and their defaults."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import pyollama
from pyollama.native import LIBRARY_DIR

SOURCES = Path(__file__).parents[1] / "csrc" / "bindings"
PACKAGE = Path(pyollama.__file__).parent
NATIVE = {path.name.split(".")[0] for path in LIBRARY_DIR.glob("*.abi3.so")}
STUBS = {path.stem for path in (PACKAGE / "native").glob("*.pyi")}

# What there is under a name: for an attribute its kind, for a function its arguments, for a class its members.
Members = dict[str, "str | Members"]


def is_public(name: str) -> bool:
    return not name.startswith("_") or name == "__init__"


def signature(arguments: ast.arguments) -> str:
    """The arguments without their types, as text."""
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return ast.unparse(arguments)


def stub_members(body: list[ast.stmt]) -> Members:
    members: Members = {}
    for node in body:
        match node:
            case ast.ClassDef():
                members[node.name] = stub_members(node.body)
            case ast.FunctionDef(decorator_list=[]):
                members[node.name] = signature(node.args)
            case ast.FunctionDef(decorator_list=[ast.Name("property")]):
                members[node.name] = "attribute"
            case ast.AnnAssign(target=ast.Name(name)):
                members[name] = "attribute"
            case ast.Assign(targets=[ast.Name(name)]) if not is_public(name):
                pass
            case ast.Import() | ast.ImportFrom() | ast.Expr(ast.Constant()):
                pass
            case _:
                raise AssertionError(f"line {node.lineno}: {ast.unparse(node)}")
    return {name: member for name, member in members.items() if is_public(name)}


def runtime_members(owner: ModuleType | type) -> Members:
    return {
        name: initializer(owner) if isinstance(owner, type) and name == "__init__" else runtime_member(value)
        for name, value in vars(owner).items()
        if is_public(name) and not isinstance(value, ModuleType) and is_own(owner, value)
    }


def is_own(owner: ModuleType | type, value: object) -> bool:
    """False for what a module has imported from another."""
    module = owner.__name__ if isinstance(owner, ModuleType) else owner.__module__
    return getattr(value, "__module__", None) in (None, module)


def runtime_member(value: object) -> str | Members:
    if isinstance(value, type):
        return runtime_members(value)
    if not callable(value):
        return "attribute"
    return parsed(str(inspect.signature(value)))


def initializer(cls: type) -> str:
    """The arguments of ``__init__``, from the source, because the compiled class does not tell them."""
    source = (SOURCES / f"{cls.__module__.replace('.', '/')}.pyx").read_text()
    match = re.search(
        rf"^cdef class {cls.__name__}:.*?^    def __init__(\(.*?\)):\n", source, re.DOTALL | re.MULTILINE
    )
    assert match, f"no __init__ of {cls.__name__}"
    return parsed(re.sub(r"\b\w+ +(?=\w+ *[=,)])", "", match[1]))  # "int n=1" is "n=1" without its type


def parsed(arguments: str) -> str:
    (function,) = ast.parse(f"def f{arguments}: ...").body
    assert isinstance(function, ast.FunctionDef)
    return signature(function.args)


def test_every_native_module_has_a_stub() -> None:
    """Catches a new module that type checkers know nothing of, and a stub that was left behind."""
    assert NATIVE == STUBS


@pytest.mark.parametrize("name", ["_build", *(f"native.{name}" for name in sorted(NATIVE))])
def test_stub_describes_the_module(name: str) -> None:
    """Catches a name, a member or an argument that was added, removed or renamed on one side only."""
    stub = stub_members(ast.parse((PACKAGE / f"{name.replace('.', '/')}.pyi").read_text()).body)
    assert stub
    assert stub == runtime_members(importlib.import_module(f"pyollama.{name}"))
