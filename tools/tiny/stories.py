"""Short stories with changing heroes, places and ends."""

from __future__ import annotations

import random

from facts import read_table
from phrasing import free
from talk import read_names
from wordlists import wordings

HEROES = dict(read_table("heroes.tsv"))
PLACES = wordings("stories.places")
WISHES = tuple(read_table("wishes.tsv"))
HELPERS = wordings("stories.helpers")
ADVICE = wordings("stories.advice")
ENDS = wordings("stories.ends")
ASKS = wordings("stories.asks")
ANY = wordings("stories.any")
FEMALE = {"princess", "queen", "witch", "girl", "fairy"}
MALE = {"boy", "knight", "wizard", "king", "prince", "farmer", "sailor", "snowman"}
GIRLS = set(wordings("stories.girls"))


def article(noun: str) -> str:
    """The noun with its indefinite article."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def tell(rng: random.Random, hero: str, name: str = "") -> str:
    """A story of about five sentences."""
    girls, boys = (
        sorted(GIRLS),
        [n for n in read_names() if n in wordings("stories.boys")],
    )
    female = name in GIRLS if name else hero in FEMALE or (hero not in MALE and rng.random() < 0.5)
    name = name or rng.choice(girls if female else boys)
    she, her = ("she", "her") if female else ("he", "him")
    wish, deed, outcome = rng.choice(WISHES)
    adjective = HEROES.get(hero, "little")
    place, helper = rng.choice(PLACES), rng.choice(HELPERS)
    start = rng.choice(
        (
            f"Once upon a time there was {article(adjective)} {hero} named {name} who lived {place}.",
            f"There once was {article(adjective)} {hero} called {name}. {name} lived {place}.",
        )
    )
    middle = f"One day {name} {wish}. So {she} {deed}."
    advice, known = rng.choice(ADVICE), "the " + helper.partition(" ")[2]
    help_ = f'On the way {she} met {helper}. "{advice}," said {known}, and that helped {her} a lot.'
    return f"{start} {middle} {help_} In the end {name} {outcome}. {rng.choice(ENDS)}"


def make_story(rng: random.Random) -> tuple[str, str]:
    """A request for a story and the story."""
    roll = rng.random()
    hero = rng.choice(sorted(HEROES))
    if roll < 0.25:
        return free(rng, rng.choice(ANY)), tell(rng, hero)
    if roll < 0.37:
        name = rng.choice(read_names())
        kind = rng.choice(sorted(HEROES))
        subject = f"{article(kind)} {rng.choice(('named', 'called'))} {name}"
        return free(rng, rng.choice(ASKS).replace("X", subject)), tell(rng, kind, name)
    subject = article(hero)
    if rng.random() < 0.25:
        subject = (
            article(rng.choice(("little", "brave", "lost", "happy", "magic", "small", "sad", "funny")))
            + " "
            + hero
        )
    elif rng.random() < 0.15:
        subject = hero
    return free(rng, rng.choice(ASKS).replace("X", subject)), tell(rng, hero)
