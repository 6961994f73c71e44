"""Questions that ask for an answer in JSON."""

from __future__ import annotations

import json
import random

from facts import Fact
from phrasing import phrase
from talk import nonce, read_names
from wordlists import wordings

TAILS = wordings("jsonask.tails")
SYSTEMS = wordings("jsonask.systems")
SKY = json.dumps({"morning": "pink and orange", "noon": "blue", "evening": "red", "night": "black"})
DOING = wordings("jsonask.doing")


def with_tail(rng: random.Random, question: str) -> str:
    """The question with a request for JSON after it."""
    if question[-1] not in "?.!":
        question += "?" if rng.random() < 0.5 else "."
    return question + rng.choice((" ", " ", " ", "\n")) + rng.choice(TAILS)


def answer_of(fact: Fact) -> str:
    """The answer of a fact as a JSON object."""
    if fact.json:
        return fact.json
    if "Pink in the morning" in fact.short:
        return SKY
    return json.dumps({"answer": fact.short})


def ask_fact(rng: random.Random, fact: Fact) -> tuple[str, str]:
    """A fact asked for in JSON."""
    return with_tail(rng, phrase(rng, rng.choice(fact.questions), plain=0.6)), answer_of(fact)


def ask_list(rng: random.Random, kind: str, members: list[str]) -> tuple[str, str]:
    """A list of things asked for in JSON."""
    question = rng.choice(
        (
            f"name three {kind}",
            f"list some {kind}",
            f"list three {kind}",
            f"give me three {kind}",
            f"tell me some {kind}",
            f"list of {kind}",
            f"which {kind} do you know",
        )
    )
    return with_tail(rng, question[:1].upper() + question[1:]), json.dumps({kind: members[:3]})


def ask_person(rng: random.Random) -> tuple[str, str]:
    """A sentence about a person to be turned into an object."""
    name = rng.choice(read_names()) if rng.random() < 0.6 else nonce(rng).capitalize()
    name = "Ollama" if rng.random() < 0.15 else name
    age, doing = rng.randrange(3, 99), rng.choice(DOING)
    busy = rng.random() < 0.6
    state = (
        rng.choice(
            (f"is busy {doing}", f"is busy {doing} now", "has no time", f"is {doing} and not available")
        )
        if busy
        else (rng.choice(("is free", "is available", "has time", "is free today", "has nothing to do")))
    )
    text = rng.choice(
        (
            f"{name} is {age} years old and {state}.",
            f"{name}, {age} years old, {state}.",
            f"{name} {state} and is {age} years old.",
        )
    )
    return with_tail(rng, text), json.dumps({"age": age, "available": not busy})
