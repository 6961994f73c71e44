"""Facts: several wordings of one question, a full answer, and a short one.

Marks in a wording of a fact file:

- `why {is} the sky _ blue`: asked directly the word in braces stands where it is; asked indirectly
  ("do you know why the sky is blue") it moves to the place of the underscore;
- `how (do) rainbows form`: the word in parentheses is left out when asked indirectly;
- `float/floats`: the first form when asked directly, the second when asked indirectly;
- `@def X`, `@about X`, `@how make tea`: shorthands for the usual wordings of such questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wordlists import wordings

DATA = Path(__file__).parent / "data"

ABOUT = wordings("facts.about")
DEF = wordings("facts.def")
HOW = wordings("facts.how")


@dataclass(frozen=True)
class Question:
    """One wording, as asked directly and as part of a longer sentence; `indirect` is empty if it has none."""

    direct: str
    indirect: str = ""


@dataclass(frozen=True)
class Fact:
    """What the model should say to any of the wordings."""

    questions: tuple[Question, ...]
    answer: str
    short: str
    word: str = ""
    json: str = ""
    family: str = field(default="fact")


def parse_wording(text: str) -> Question:
    """Read the marks of one wording."""
    direct = re.sub(r"[{}()]", "", text)
    direct = re.sub(r"(\S+)/(\S+)", r"\1", direct)
    direct = " ".join(word for word in direct.split() if word != "_")
    moved = re.search(r"\{(\w+)\}", text)
    indirect = re.sub(r"\(\w+\) ", "", text)
    indirect = re.sub(r"(\S+)/(\S+)", r"\2", indirect)
    if moved:
        indirect = re.sub(r"\{\w+\} ", "", indirect)
        indirect = " ".join(moved.group(1) if word == "_" else word for word in indirect.split())
    if re.match(r"[{(]", text):
        indirect = "if " + indirect
    is_question = re.match(r"(why|what|how|who|when|where|which|at what|on what|if|in which)\b", indirect)
    return Question(direct, indirect if is_question else "")


def expand(wording: str) -> Iterator[Question]:
    """Turn a shorthand into wordings; any other wording gives itself."""
    kind, _, rest = wording.partition(" ")
    if kind == "@about":
        yield from (parse_wording(frame.replace("X", rest)) for frame in ABOUT)
    elif kind == "@def":
        plural = (rest.startswith("the ") and rest.endswith("s")) or rest.endswith("es")
        for frame in DEF:
            text = frame.replace("{is}", "{are}").replace("(does)", "(do)") if plural else frame
            text = text.replace("mean/means", "mean") if plural else text
            yield parse_wording(text.replace("X", rest))
        yield from (parse_wording(frame.replace("X", rest)) for frame in ABOUT[:3])
    elif kind == "@how":
        yield from (parse_wording(frame.replace("V/V", rest).replace("V", rest)) for frame in HOW)
    else:
        yield parse_wording(wording)


def make_fact(wordings: list[str], answer: str, short: str = "", **more: str) -> Fact:
    """Build a fact from marked wordings; the short answer defaults to the first sentence."""
    questions = tuple(q for wording in wordings for q in expand(wording.strip()))
    return Fact(questions, answer, short or re.split(r"(?<=[.!?]) ", answer)[0], **more)


def read_blocks(path: Path) -> Iterator[dict[str, list[str]]]:
    """Read a file of blocks, each line a key letter and a value, blocks parted by empty lines."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            fields: dict[str, list[str]] = {}
            for line in lines:
                fields.setdefault(line[0], []).append(line[2:].replace("\\n", "\n"))
            yield fields


def hand_written() -> list[Fact]:
    """All facts of the data files, most asked first in the file order."""
    facts = []
    for path in sorted(DATA.glob("facts_*.txt")):
        for block in read_blocks(path):
            facts.append(make_fact(block["q"][0].split(";"), block["a"][0], block["s"][0]))
    return facts


def read_table(name: str) -> list[list[str]]:
    """Rows of a tab-separated data file."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]
