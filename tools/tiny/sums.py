"""Sums with small numbers, asked in digits and in words."""

from __future__ import annotations

import random

from phrasing import finish
from wordlists import wordings

WORDS = wordings("sums.words")
FRAMES = wordings("sums.frames")
SPECIAL = {
    "+": (
        "what is the sum of A and B",
        "add A and B",
        "what do you get if you add A and B",
        "how much is A and B together",
        "I have A apples and get B more, how many do I have now",
        "A apples and B apples, how many are there",
        "if I have A coins and find B more, how many coins do I have",
    ),
    "-": (
        "subtract B from A",
        "what is the difference between A and B",
        "I have A apples and eat B, how many are left",
        "take B away from A",
        "if I have A coins and lose B, how many coins are left",
    ),
    "*": (
        "multiply A by B",
        "what is the product of A and B",
        "multiply A and B",
        "how many are A groups of B",
    ),
}
SIGNS = {
    "+": ("+", "plus", "+", "plus", "and"),
    "-": ("-", "minus", "-", "minus"),
    "*": ("*", "times", "x", "times"),
}
SAID = {"+": "plus", "-": "minus", "*": "times"}


def write(rng: random.Random, number: int, in_words: bool) -> str:
    """A number in digits or in words."""
    return WORDS[number] if in_words and number < len(WORDS) else str(number)


def make_sum(rng: random.Random) -> tuple[str, str, str]:
    """A question, its full answer and its short answer."""
    sign = rng.choice("++-*")
    top = 20 if rng.random() < 0.35 else 10
    if sign == "*":
        a, b = rng.randrange(0, 11), rng.randrange(0, 11)
        if rng.random() < 0.1:
            a, b = rng.choice(((11, b), (12, b), (a, 11), (a, 12)))
        result = a * b
    else:
        a, b = rng.randrange(0, top + 1), rng.randrange(0, top + 1)
        if sign == "-" and a < b:
            a, b = b, a
        result = a + b if sign == "+" else a - b
    in_words = rng.random() < 0.25
    x, y = write(rng, a, in_words), write(rng, b, in_words)
    if rng.random() < 0.2:
        text = rng.choice(SPECIAL[sign]).replace("A", x).replace("B", y)
    else:
        said = rng.choice(SIGNS[sign])
        tight = not in_words and said in "+-*x" and rng.random() < 0.3
        text = rng.choice(FRAMES).replace("X", f"{x}{said}{y}" if tight else f"{x} {said} {y}")
    question = finish(rng, text, asks=not text.endswith(("=", "is")) and rng.random() < 0.7)
    return question, f"{a} {SAID[sign]} {b} is {result}.", f"{result}."
