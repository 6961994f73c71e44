"""A small matcher for GBNF, written from the format's description: the reference for what a grammar accepts."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

# Nodes: ("chars", negated, ((low, high), ...)), ("ref", name), ("seq", ...), ("alt", ...), ("rep", node, low, high).
Node = tuple[Any, ...]


class Gbnf:
    """``Gbnf(text).accepts(document)``: whether the whole document is a sentence of the grammar."""

    def __init__(self, text: str) -> None:
        self._rules: dict[str, Node] = {}
        for line in re.split(r"\n(?=[\w-]+ +::=)", text.strip()):
            name, _, body = line.partition("::=")
            self._text, self._at = body, 0
            self._rules[name.strip()] = self._alternatives()
            if self._at != len(body):
                raise ValueError(f"unexpected {body[self._at :]!r} in rule {name}")

    def accepts(self, document: str) -> bool:
        ends = lru_cache(maxsize=None)(
            lambda name, at: frozenset(self._ends(self._rules[name], document, at, ends))
        )
        return len(document) in ends("root", 0)

    def _ends(self, node: Node, text: str, at: int, rule: Any) -> set[int]:
        kind = node[0]
        if kind == "chars":
            if at >= len(text):
                return set()
            inside = any(low <= ord(text[at]) <= high for low, high in node[2])
            return {at + 1} if inside != node[1] else set()
        if kind == "ref":
            return set(rule(node[1], at))
        if kind == "alt":
            return set().union(*(self._ends(child, text, at, rule) for child in node[1:]))
        if kind == "seq":
            ends = {at}
            for child in node[1:]:
                ends = set().union(*(self._ends(child, text, end, rule) for end in ends))
            return ends
        _, child, low, high = node
        reached, frontier, count = ({at} if low == 0 else set()), {at}, 0
        while frontier and (high is None or count < high):
            frontier = set().union(*(self._ends(child, text, end, rule) for end in frontier))
            count += 1
            if count >= low:
                frontier -= reached
                reached |= frontier
        return reached

    def _space(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \n":
            self._at += 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _alternatives(self) -> Node:
        options = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence())
        return ("alt", *options)

    def _sequence(self) -> Node:
        items: list[Node] = []
        self._space()
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated(self._item()))
            self._space()
        return ("seq", *items)

    def _item(self) -> Node:
        start = self._peek()
        if start == "(":
            self._at += 1
            node = self._alternatives()
            self._at += 1
            return node
        if start == '"':
            self._at += 1
            chars: list[Node] = []
            while self._peek() != '"':
                code = self._char()
                chars.append(("chars", False, ((code, code),)))
            self._at += 1
            return ("seq", *chars)
        if start == "[":
            return self._char_class()
        match = re.compile(r"[\w-]+").match(self._text, self._at)
        if match is None:
            raise ValueError(f"unexpected {self._text[self._at :]!r}")
        self._at = match.end()
        return ("ref", match.group())

    def _char_class(self) -> Node:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges = []
        while self._peek() != "]":
            low = high = self._char()
            if self._peek() == "-" and self._text[self._at + 1] != "]":
                self._at += 1
                high = self._char()
            ranges.append((low, high))
        self._at += 1
        return ("chars", negated, tuple(ranges))

    def _char(self) -> int:
        c = self._text[self._at]
        self._at += 1
        if c != "\\":
            return ord(c)
        c = self._text[self._at]
        self._at += 1
        digits = {"x": 2, "u": 4, "U": 8}.get(c)
        if digits:
            self._at += digits
            return int(self._text[self._at - digits : self._at], 16)
        return ord({"n": "\n", "r": "\r", "t": "\t"}.get(c, c))

    def _repeated(self, node: Node) -> Node:
        while True:
            self._space()
            match = re.compile(r"[*+?]|\{(\d+)(,?)(\d*)\}").match(self._text, self._at)
            if match is None:
                return node
            self._at = match.end()
            if match.group()[0] != "{":
                low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[match.group()]
            else:
                low = int(match.group(1))
                high = int(match.group(3)) if match.group(3) else None if match.group(2) else low
            node = ("rep", node, low, high)
