"""System messages that change how an answer is given."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from talk import WORDS, nonce, read_names
from wordlists import wordings

BRIEF = wordings("styles.brief")
BRIEF_TAILS = wordings("styles.brief_tails")
PIRATE = wordings("styles.pirate")
BUTLER = wordings("styles.butler")
CAPITALS = wordings("styles.capitals")
END_WITH = wordings("styles.end_with")
START_WITH = wordings("styles.start_with")
PLAIN = wordings("styles.plain")
MARKERS = wordings("styles.markers")
ROLES = wordings("styles.roles")
WORLDS = wordings("styles.worlds")
PIRATE_WORDS = (
    (r"\bHello\b", "Ahoy"),
    (r"\bHi there\b", "Ahoy there"),
    (r"\bI am\b", "I be"),
    (r"\bYou are\b", "Ye be"),
    (r"\byou are\b", "ye be"),
    (r"\bis\b", "be"),
    (r"\bare\b", "be"),
    (r"\byour\b", "yer"),
    (r"\bYour\b", "Yer"),
    (r"\byou\b", "ye"),
    (r"\bYou\b", "Ye"),
    (r"\bmy\b", "me"),
    (r"\bMy\b", "Me"),
    (r"\bfriend\b", "matey"),
    (r"\bto the\b", "to th'"),
    (r"\bof the\b", "o' th'"),
    (r"\band\b", "an'"),
)


@dataclass(frozen=True)
class Style:
    """A system message, whether it asks for short answers, and what it does to a text."""

    system: str
    short: bool
    change: Callable[[str], str]


def pirate(text: str) -> str:
    """The text as a pirate says it."""
    for pattern, word in PIRATE_WORDS:
        text = re.sub(pattern, word, text)
    return f"Arr! {text} Yarr, matey!"


def butler(text: str) -> str:
    """The text as a butler says it."""
    return f"Certainly, sir. {text} At your service, sir."


def same(text: str) -> str:
    """The text as it is."""
    return text


def choose(rng: random.Random) -> Style:
    """A random style with one wording of its system message."""
    roll = rng.random()
    if roll < 0.2:
        return Style(rng.choice(PLAIN), False, same)
    if roll < 0.38:
        return Style(rng.choice(BRIEF), True, same)
    if roll < 0.57:
        return Style(rng.choice(PIRATE), rng.random() < 0.5, pirate)
    if roll < 0.67:
        return Style(rng.choice(BUTLER), rng.random() < 0.6, butler)
    if roll < 0.86:
        return Style(rng.choice(CAPITALS), True, str.upper)
    marker = (
        rng.choice(MARKERS)
        if rng.random() < 0.6
        else rng.choice(WORDS).split()[0]
        if rng.random() < 0.6
        else nonce(rng)
    )
    shown = marker if rng.random() < 0.6 else f'"{marker}"'
    said = marker[:1].upper() + marker[1:]
    if rng.random() < 0.6:
        return Style(rng.choice(END_WITH).replace("W", shown), True, lambda text: f"{text} {said}!")
    return Style(rng.choice(START_WITH).replace("W", shown), True, lambda text: f"{said}! {text}")


def persona(rng: random.Random) -> tuple[str, str, str]:
    """A system message that gives the model another name: the message, the name, the introduction."""
    name = rng.choice(read_names()) if rng.random() < 0.65 else nonce(rng).capitalize()
    if rng.random() < 0.15:
        name = rng.choice(("Mario", "mario", "Luigi", "Zelda", "Robin Hood", "Sherlock", "Merlin"))
    shown = name[:1].upper() + name[1:]
    roll = rng.random()
    if roll < 0.45:
        role = rng.choice(ROLES)
        text = rng.choice(wordings("styles.persona")).replace("R", role, 1)
        return text.replace("N", name), shown, f"I am {shown}, {role}."
    if roll < 0.7:
        world = "Super Mario Bros." if name in ("Mario", "mario", "Luigi") else rng.choice(WORLDS)
        text = rng.choice(
            (
                f"You are {name} from {world}",
                f"You are {name} from {world}, acting as an assistant.",
                f"Your name is {name} and you are from {world}.",
                f"Act as {name} from {world}.",
            )
        )
        text = text.replace("..", ".")
        tail = "" if world.endswith(".") else "."
        return text, shown, f"I am {shown} from {world}{tail}"
    text = rng.choice(wordings("styles.persona_2"))
    return text.replace("N", name), shown, f"I am {shown}."
