"""Questions that need no history, of every kind, with their answers."""

from __future__ import annotations

import random

import memory
from facts import Fact, hand_written, read_table
from phrasing import free, phrase
from sums import make_sum
from tables import NUMBERS, animals, calendar, capital, colors, countries, lists, opposites, sizes
from talk import Fillers, nonce, read_intents, read_names
from wordlists import wordings

ECHO = wordings("corpus.echo")
WEIGHTS = {
    "fact": 5.0,
    "capital": 2.6,
    "city": 0.6,
    "country": 1.4,
    "continent": 0.8,
    "language": 0.8,
    "legs": 1.6,
    "sound": 1.2,
    "young": 1.0,
    "food": 1.2,
    "home": 1.2,
    "class": 1.0,
    "animal": 2.0,
    "opposite": 1.4,
    "color": 1.6,
    "calendar": 0.7,
    "size": 0.35,
}


class Exchanges:
    """Everything that exchanges are made of."""

    def __init__(self) -> None:
        """Read all data files."""
        self.facts: list[Fact] = [
            *hand_written(),
            *countries(),
            *animals(),
            *opposites(),
            *colors(),
            *calendar(),
            *sizes(),
        ]
        self.weights = []
        total = 0.0
        for fact in self.facts:
            scale = 8.0 if any(q.direct == "why is the sky blue" for q in fact.questions) else 1.0
            scale = 3.0 if "scattering" in fact.questions[0].direct else scale
            total += WEIGHTS[fact.family] * scale
            self.weights.append(total)
        self.smalltalk = read_intents("smalltalk.txt")
        self.unknown = read_intents("unknown.txt")
        self.lists = lists()
        self.animals = read_table("animals.tsv")
        self.countries = read_table("countries.tsv")
        self.fillers = Fillers()
        self.values = memory.Values()
        self.names = read_names()
        self.sky = next(f for f in self.facts if f.questions[0].direct == "why is the sky blue")
        self.mie = next(f for f in self.facts if "different from Mie" in f.questions[0].direct)
        self.words = sorted(
            {word for fact in self.facts[:300] for word in fact.short.lower().rstrip(".").split()}
        )

    def fact(self, rng: random.Random) -> Fact:
        """A random fact; important ones come more often."""
        return rng.choices(self.facts, cum_weights=self.weights)[0]

    def exchange(self, rng: random.Random) -> tuple[str, str, str, str]:
        """A question that needs no history: question, answer, short answer, one word (or nothing)."""
        roll = rng.random()
        if roll < 0.51:
            fact = self.fact(rng)
            return phrase(rng, rng.choice(fact.questions)), fact.answer, fact.short, fact.word
        if roll < 0.66:
            question, answer, short = make_sum(rng)
            return question, answer, short, short
        if roll < 0.80:
            intent = rng.choice(self.smalltalk)
            if rng.random() < 0.25:
                intent = rng.choice(self.smalltalk[:18])
            answer = rng.choice(intent.replies)
            return free(rng, rng.choice(intent.remarks)), answer, answer, ""
        if roll < 0.935:
            question, answer = self.fillers.fill(rng, rng.choice(self.unknown))
            return question, answer, answer, ""
        if roll < 0.955:
            return (*self.list_of(rng), "")
        if roll < 0.975:
            return (*self.not_class(rng), "")
        return (*self.echo(rng), "")

    def list_of(self, rng: random.Random) -> tuple[str, str, str]:
        """A request to name some things of one kind."""
        kind = rng.choice(sorted(self.lists))
        count = rng.choice((2, 3, 3, 3, 4, 5))
        number = rng.choice((NUMBERS[count], NUMBERS[count], str(count)))
        vague = rng.random() < 0.35
        number = rng.choice(("some", "a few")) if vague else number
        members = self.lists[kind][: 3 if vague else count]
        text = rng.choice(wordings("corpus.list_of"))
        if text.startswith("which"):
            number, members = "", self.lists[kind][:3]
        said = f"{', '.join(members[:-1])} and {members[-1]}."
        question = free(rng, " ".join(text.replace("X", f"{number} {kind}").split()))
        return question, capital(said), capital(said)

    def not_class(self, rng: random.Random) -> tuple[str, str, str]:
        """A yes or no question about the class of an animal."""
        name, plural, kind, *_ = rng.choice(self.animals)
        other = rng.choice(("fish", "bird", "mammal", "insect", "reptile", "plant", "mammal", "bird", "fish"))
        one, a_kind, a_other = (
            ("an " if name[0] in "aeiou" else "a ") + name,
            *(("an " if word[0] in "aeiou" else "a ") + word for word in (kind, other)),
        )
        many = other if other == "fish" else f"{other}s"
        question = free(
            rng,
            rng.choice(
                (
                    f"is {one} {a_other}",
                    f"are {plural} {many}",
                    f"do {plural} belong to the {many}",
                    f"is {one} really {a_other}",
                    f"would {one} be {a_other}",
                )
            ),
        )
        if other == kind:
            return question, f"Yes, {one} is {a_kind}.", "Yes."
        return question, f"No, {one} is not {a_other}, it is {a_kind}.", "No."

    def echo(self, rng: random.Random) -> tuple[str, str, str]:
        """A request to repeat some words."""
        count = rng.choice((1, 1, 2, 3, 4, 5))
        words = [nonce(rng) if rng.random() < 0.25 else rng.choice(self.words) for _ in range(count)]
        text = " ".join(words)
        text = capital(text) if rng.random() < 0.4 else text
        shown = f'"{text}"' if rng.random() < 0.3 else text
        return capital(rng.choice(ECHO)).replace("X", shown), text, text
