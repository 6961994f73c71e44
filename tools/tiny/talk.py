"""Small talk and questions the model cannot answer."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from facts import DATA, read_blocks, read_table
from phrasing import LETTERS, free
from wordlists import wordings

SYLLABLES = wordings("talk.syllables")
ONSETS = wordings("talk.onsets")
CODAS = wordings("talk.codas")
TASKS = wordings("talk.tasks")
CODES = wordings("talk.codes")
OBJECTS = wordings("talk.objects")
LANGUAGES = wordings("talk.languages")
WORDS = wordings("talk.words")
SURNAMES = wordings("talk.surnames")


@dataclass(frozen=True)
class Intent:
    """Remarks of one meaning and the replies that fit."""

    name: str
    remarks: tuple[str, ...]
    replies: tuple[str, ...]


def read_intents(name: str) -> list[Intent]:
    """Read a file of intents."""
    return [
        Intent(block["i"][0], tuple(part.strip() for part in block["q"][0].split(";")), tuple(block["a"]))
        for block in read_blocks(DATA / name)
    ]


def read_names() -> list[str]:
    """First names."""
    lines = (DATA / "names.txt").read_text(encoding="utf-8").split()
    return [line for line in lines if not line.startswith("#")]


def nonce(rng: random.Random) -> str:
    """A word that does not exist."""
    if rng.random() < 0.4:
        parts = [
            rng.choice(ONSETS) + rng.choice("aeiouaeio") + rng.choice(CODAS)
            for _ in range(rng.choice((1, 2, 2, 3)))
        ]
        return (
            "".join(parts)
            if len(parts) > 1
            else parts[0] + rng.choice(("er", "ing", "ia", "oid", "ump", "ette", "ix", "ora"))
        )
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.choice((2, 3, 3)))) + rng.choice(
        ("", "", "n", "x", "r", "k")
    )


class Fillers:
    """Fills the {slots} of unanswerable questions."""

    def __init__(self) -> None:
        """Read the tables the values come from."""
        rows = read_table("countries.tsv")
        self.countries = [row[0] for row in rows]
        self.places = (
            [row[1] for row in rows]
            + self.countries
            + [
                "Chicago",
                "Munich",
                "Boston",
                "Toronto",
                "Sydney",
                "Milan",
                "Barcelona",
                "Hamburg",
                "my town",
                "Texas",
            ]
        )
        self.names = read_names()

    def slot(self, rng: random.Random, name: str) -> str:
        """A random value for a slot."""
        if name == "place":
            return rng.choice(self.places)
        if name == "country":
            return rng.choice(self.countries)
        if name in ("object", "thing"):
            return rng.choice(OBJECTS)
        if name == "task":
            return rng.choice(TASKS)
        if name == "code":
            return rng.choice(CODES)
        if name == "language":
            return rng.choice(LANGUAGES)
        if name == "word":
            return rng.choice(WORDS)
        if name == "year":
            return str(rng.randrange(1600, 2040))
        if name == "big":
            return str(
                rng.choice(
                    (rng.randrange(101, 1000), rng.randrange(1000, 10000), rng.randrange(10**4, 10**7))
                )
            )
        if name == "digit":
            return str(rng.randrange(3, 10))
        if name == "person":
            first = rng.choice(self.names) if rng.random() < 0.7 else nonce(rng).capitalize()
            return first + " " + (rng.choice(SURNAMES) if rng.random() < 0.6 else nonce(rng).capitalize())
        if name == "junk":
            return "".join(rng.choice(LETTERS) for _ in range(rng.randrange(3, 10)))
        if name == "punct":
            return "".join(rng.choice("?!.,;:-+*#") for _ in range(rng.randrange(2, 7)))
        word = nonce(rng)
        return word.capitalize() if rng.random() < 0.5 else word

    def fill(self, rng: random.Random, intent: Intent) -> tuple[str, str]:
        """One remark of the intent with its slots filled, and a reply."""
        subject, language = "that", "other languages"

        def value(match: re.Match[str]) -> str:
            nonlocal subject, language
            text = self.slot(rng, match.group(1))
            if match.group(1) in ("person", "nonce"):
                subject = text
            if match.group(1) == "language":
                language = text
            return text

        template = rng.choice(intent.remarks)
        remark = re.sub(r"\{(\w+)\}", value, template)
        if intent.name != "gibberish":
            # Typing mistakes would make it impossible to repeat an invented name.
            keep = "{nonce}" in template or "{person}" in template
            remark = (
                remark[:1].upper() + remark[1:] + "?"
                if keep and rng.random() < 0.6
                else (remark if keep else free(rng, remark))
            )
        reply = rng.choice(intent.replies).replace("{it}", subject).replace("{language}", language)
        return remark, reply
