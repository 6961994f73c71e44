"""Chats in which the model is told something about the user and is asked for it later."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from facts import DATA, read_blocks, read_table
from phrasing import free, padded
from talk import nonce, read_names
from wordlists import wordings


@dataclass(frozen=True)
class Trait:
    """Something a user can tell: how it is told, confirmed, asked for and repeated; V is the value."""

    key: str
    tells: tuple[str, ...]
    confirms: tuple[str, ...]
    asks: tuple[str, ...]
    answer: str


def read_traits() -> Iterator[Trait]:
    """The traits of the data file."""
    for block in read_blocks(DATA / "traits.txt"):
        lists = (tuple(part.strip() for part in block[key][0].split("; ")) for key in "tca")
        yield Trait(block["k"][0], *lists, block["r"][0])


TRAITS = tuple(read_traits())
COLORS = wordings("memory.colors")
FOODS = wordings("memory.foods")
JOBS = wordings("memory.jobs")
WORDS = wordings("memory.words")
FORGOT = ("You have not told me that, so I do not know.", "I do not know that, because you have not told me.")


class Values:
    """Draws the values of the traits."""

    def __init__(self) -> None:
        """Read the tables the values come from."""
        self.names = read_names()
        self.cities = [row[1] for row in read_table("countries.tsv")]

    def draw(self, rng: random.Random, key: str) -> str:
        """A value of a trait; often an invented one, so that only copying helps."""
        invented = rng.random() < 0.35
        if key in ("name", "pet"):
            return nonce(rng).capitalize() if invented else rng.choice(self.names)
        if key == "city":
            return nonce(rng).capitalize() if invented else rng.choice(self.cities)
        if key == "age":
            return str(rng.randrange(5, 99))
        if key == "lucky number":
            return str(rng.randrange(0, 100 if rng.random() < 0.7 else 10000))
        if key == "secret word" and invented:
            return nonce(rng)
        return rng.choice(
            {"favorite color": COLORS, "favorite food": FOODS, "job": JOBS, "secret word": WORDS}[key]
        )


def tell(rng: random.Random, trait: Trait, value: str) -> tuple[str, str]:
    """The user tells a trait, the model confirms it."""
    remark = free_with_value(rng, rng.choice(trait.tells), value)
    reply = rng.choice(trait.confirms).replace("V", value)
    return remark, reply[:1].upper() + reply[1:]


def tell_two(rng: random.Random, one: Trait, value: str, two: Trait, other: str) -> tuple[str, str]:
    """The user tells two traits in one message."""
    first = free_with_value(rng, rng.choice(one.tells), value).rstrip(".!?")
    second = rng.choice(two.tells).replace("V", other)
    remark = first + rng.choice((" and ", ". ", ", ", " and ")) + second + rng.choice((".", "", "!"))
    reply = rng.choice(one.confirms if one.key == "name" else two.confirms)
    reply = reply.replace("V", value if one.key == "name" else other)
    return remark, reply[:1].upper() + reply[1:]


def ask(rng: random.Random, trait: Trait, value: str) -> tuple[str, str]:
    """The user asks for a trait told before."""
    return free(rng, rng.choice(trait.asks)), trait.answer.replace("V", value)


def ask_untold(rng: random.Random, trait: Trait) -> tuple[str, str]:
    """The user asks for a trait never told."""
    return free(rng, rng.choice(trait.asks)), rng.choice(FORGOT)


def free_with_value(rng: random.Random, template: str, value: str) -> str:
    """Type a remark with a value in it; the value itself is spared typing mistakes."""
    before, _, after = template.partition("V")
    text = before.replace(" i ", " I ") + value + after
    if text.startswith(("i ", "i'")):
        text = "I" + text[1:]
    if rng.random() < 0.6:
        text = text[:1].upper() + text[1:]
    if rng.random() < 0.12:
        text = padded(rng, text)
    return text + rng.choice((".", "", ".", "!", ""))
