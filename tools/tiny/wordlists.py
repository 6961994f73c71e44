"""Lists of wordings that are kept as data beside the programs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

PATH = Path(__file__).parent / "data" / "wordings.txt"


@cache
def all_lists() -> dict[str, tuple[str, ...]]:
    """Every list of the file under its name."""
    lists = {}
    for block in PATH.read_text(encoding="utf-8").split("\n\n"):
        if block and not block.startswith("#"):
            name, members = block.rstrip("\n").split("\n")
            lists[name] = tuple(members.split("|"))
    return lists


def wordings(name: str) -> tuple[str, ...]:
    """The list of a name; says which there are if there is none."""
    lists = all_lists()
    if name not in lists:
        raise KeyError(f"no list {name!r} in {PATH.name}; it has {', '.join(sorted(lists))}")
    return lists[name]
