"""Facts made from the tables: countries, animals, opposites, colors, lists, the calendar, comparisons."""

from __future__ import annotations

import json

from facts import DATA, Fact, make_fact, read_table

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
SEASONS = ("spring", "summer", "autumn", "winter")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def article(noun: str) -> str:
    """The noun with its indefinite article."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def countries() -> list[Fact]:
    """Capital, continent, language and a description of every country."""
    facts = []
    for name, city, continent, language, note in read_table("countries.tsv"):
        c = capital(name)
        bare = name.removeprefix("the ")
        facts.append(
            make_fact(
                [
                    f"what {{is}} the capital of {name} _",
                    f"what {{is}} the capital city of {name} _",
                    f"which city {{is}} the capital of {name} _",
                    f"what {{is}} {name}'s capital _",
                    f"{bare}s capital",
                    f"whats the capital of {bare}",
                    f"what {{is}} {name}'s capital city _",
                    f"name the capital of {name}",
                    f"capital of {bare}",
                    f"the capital of {name}",
                    f"which city is the capital of {name}",
                    f"{bare} capital",
                    f"what (do) you call the capital of {name}",
                    f"tell me the capital of {name}",
                    f"what city {{is}} the capital of {name} _",
                    f"where {{is}} the government of {name} _",
                ],
                f"The capital of {name} is {city}.",
                f"{city}.",
                word=f"{city}.",
                family="capital",
                json=json.dumps({"country": name, "capital": city}),
            )
        )
        facts.append(
            make_fact(
                [
                    f"of which country {{is}} {city} _ the capital",
                    f"{city} is the capital of which country",
                    f"which country (does) {city} belong/belongs to",
                    f"{city} is the capital of what",
                    f"what country has {city} as its capital",
                    f"which country has the capital {city}",
                    f"what country {{is}} {city} _ in",
                    f"in which country {{is}} {city} _",
                    f"where {{is}} the city of {city} _",
                ],
                f"{city} is the capital of {name}.",
                f"{c}.",
                word=f"{c}.",
                family="city",
            )
        )
        facts.append(
            make_fact(
                [
                    f"@about {name}",
                    f"@about {name}",
                    f"what {{is}} {name} _",
                    f"what {{is}} {name} _ famous for",
                    f"tell me about the country {bare}",
                    f"I will travel to {name}",
                    f"what should I know about {name}",
                    f"I live in {bare}, what is it famous for",
                    f"we will go to {name}, what is there",
                    f"what {{is}} special about {name} _",
                ],
                f"{c} is a country in {continent}. Its capital is {city}. {note}",
                f"{c} is a country in {continent}.",
                family="country",
                json=json.dumps(
                    {"name": c, "capital": city, "languages": language.replace(" and ", ", ").split(", ")}
                ),
            )
        )
        facts.append(
            make_fact(
                [
                    f"where {{is}} {name} _",
                    f"on which continent {{is}} {name} _",
                    f"in which part of the world {{is}} {name} _",
                    f"what continent {{is}} {name} _ on",
                    f"where {{is}} {name} _ located",
                    f"where (can) I find {name}",
                    f"which continent (does) {name} belong/belongs to",
                    f"{{is}} {name} _ in {continent}",
                ],
                f"{c} is in {continent}.",
                f"In {continent}.",
                family="continent",
            )
        )
        facts.append(
            make_fact(
                [
                    f"what language (do) people speak in {name}",
                    f"which language {{is}} spoken in {name} _",
                    f"what {{is}} the language of {name} _",
                    f"what (do) they speak in {name}",
                    f"what languages {{are}} spoken in {name} _",
                    f"which language (do) they speak in {name}",
                ],
                f"People in {name} speak {language}.",
                f"{capital(language)}.",
                word=f"{capital(language)}.",
                family="language",
            )
        )
    return facts


def animals() -> list[Fact]:
    """Legs, sound, young, food, home, class and a description of every animal."""
    facts = []
    for name, plural, kind, legs, sound, young, food, home, note in read_table("animals.tsv"):
        one, many = article(name), capital(plural)
        n = NUMBERS[int(legs)]
        limbs = "arms" if name == "octopus" else "legs"
        facts.append(
            make_fact(
                [
                    f"how many legs (does) {one} have/has",
                    f"how many legs (do) {plural} have",
                    f"how many legs {{are}} there on {one} _",
                    f"the number of legs of {one}",
                    f"how many feet (does) {one} have/has",
                    f"what number of legs (does) {one} have/has",
                    f"how many legs has {one} got",
                    f"count the legs of {one}",
                    f"{name} legs",
                    f"with how many legs (does) {one} walk/walks",
                ],
                f"{capital(one)} has {n} {limbs}.",
                f"{capital(n)}.",
                word=f"{capital(n)}.",
                family="legs",
            )
        )
        facts.append(
            make_fact(
                [
                    f"what sound (does) {one} make/makes",
                    f"what noise (does) {one} make/makes",
                    f"what (does) {one} say/says",
                    f"how (does) {one} sound/sounds",
                    f"what sound (do) {plural} make",
                    f"which sound (does) the {name} make/makes",
                    f"what (do) {plural} say",
                    f"the sound of {one}",
                ],
                f"{capital(one)} {sound}.",
                f"It {sound}.",
                family="sound",
            )
        )
        facts.append(
            make_fact(
                [
                    f"what {{is}} a baby {name} _ called",
                    f"what (do) you call a baby {name}",
                    f"what {{is}} a young {name} _ called",
                    f"what {{is}} the young of {one} _ called",
                    f"how (do) you call a young {name}",
                    f"the name of a baby {name}",
                    f"what {{is}} the name of a baby {name} _",
                    f"what {{are}} baby {plural} _ called",
                ],
                f"A young {name} is called {article(young)}.",
                f"{capital(article(young))}.",
                word=f"{capital(young)}.",
                family="young",
            )
        )
        facts.append(
            make_fact(
                [
                    f"what (does) {one} eat/eats",
                    f"what (do) {plural} eat",
                    f"what {{is}} the food of {one} _",
                    f"what (does) the {name} live/lives on",
                    f"what {{can}} I _ feed {one}",
                    f"what (do) {plural} like to eat",
                    f"what (do) you feed {one}",
                    f"what {{is}} the diet of {plural} _",
                    f"which food (do) {plural} eat",
                ],
                f"{many} eat {food}.",
                f"{capital(food)}.",
                family="food",
            )
        )
        facts.append(
            make_fact(
                [
                    f"where (does) {one} live/lives",
                    f"where (do) {plural} live",
                    f"what {{is}} the home of {one} _",
                    f"where {{can}} I _ find {one}",
                    f"where (do) you find {plural}",
                    f"where (do) {plural} come from",
                    f"where {{is}} the home of {plural} _",
                    f"in what place (do) {plural} live",
                ],
                f"{many} live {home}.",
                f"{capital(home)}.",
                family="home",
            )
        )
        facts.append(
            make_fact(
                [
                    f"what kind of animal {{is}} {one} _",
                    f"{{is}} {one} _ {article(kind)}",
                    f"{{are}} {plural} _ {kind}s",
                    f"what type of animal {{is}} {one} _",
                    f"which class of animals (do) {plural} belong to",
                ],
                f"{capital(one)} is {article(kind)}.",
                f"{capital(article(kind))}.",
                word=f"{capital(kind)}.",
                family="class",
            )
        )
        facts.append(
            make_fact(
                [
                    f"@about {plural}",
                    f"@about {one}",
                    f"@def {one}",
                    f"what (do) {plural} do",
                    f"what {{is}} special about {plural} _",
                    f"tell me a fact about {plural}",
                    f"what (does) {one} do/does",
                    f"why {{are}} {plural} _ special",
                    f"what {{are}} {plural} _",
                ],
                f"{capital(one)} is {article(kind)}. {many} live {home} and eat {food}. {note}",
                note,
                family="animal",
            )
        )
    return facts


def opposites() -> list[Fact]:
    """Opposites, in both directions; the first entry of a word wins."""
    pairs: dict[str, str] = {}
    for first, second in read_table("opposites.tsv"):
        pairs.setdefault(first, second)
        pairs.setdefault(second, first)
    return [
        make_fact(
            [
                f"what {{is}} the opposite of {a} _",
                f"opposite of {a}",
                f"the opposite of {a}",
                f"what {{is}} opposite to {a} _",
                f"what word means the opposite of {a}",
                f"which word {{is}} the opposite of {a} _",
                f"give me the opposite of {a}",
                f"name the opposite of {a}",
                f"{a} is the opposite of what",
                f"what {{is}} the contrary of {a} _",
                f"what {{is}} an antonym of {a} _",
                f"antonym of {a}",
                f"what {{is}} not {a} _ but",
            ],
            f"The opposite of {a} is {b}.",
            f"{capital(b)}.",
            word=f"{capital(b)}.",
            family="opposite",
        )
        for a, b in pairs.items()
    ]


def colors() -> list[Fact]:
    """Colors of things."""
    return [
        make_fact(
            [
                f"what color {{is}} {thing} _",
                f"which color {{is}} {thing} _",
                f"what color (does) {thing} have/has",
                f"which color (does) {thing} have/has",
                f"what {{is}} the color of {thing} _",
                f"the color of {thing}",
                f"in what color (do) you paint {thing}",
                f"tell me the color of {thing}",
                f"what color (do) you see on {thing}",
                f"{thing.removeprefix('a ').removeprefix('an ').removeprefix('the ')} color",
            ],
            f"{capital(thing)} is {color}.",
            f"{capital(color)}.",
            word=f"{capital(color)}.",
            family="color",
        )
        for thing, color in read_table("colors.tsv")
    ]


def calendar() -> list[Fact]:
    """What comes before and after a day, a month, a season, a number and a letter."""
    facts = []
    numbers = [str(n) for n in range(1, 31)]
    for names, kind in (
        (DAYS, "day"),
        (MONTHS, "month"),
        (SEASONS, "season"),
        (numbers, "number"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "letter"),
    ):
        ring = kind in ("day", "month", "season")
        for i, name in enumerate(names):
            if ring or i + 1 < len(names):
                after = names[(i + 1) % len(names)]
                facts.append(
                    make_fact(
                        [
                            f"what comes after {name}",
                            f"which {kind} comes after {name}",
                            f"what {kind} comes after {name}",
                            f"which {kind} follows {name}",
                            f"what {{is}} the {kind} after {name} _",
                            f"what follows {name}",
                            f"what {{is}} the next {kind} after {name} _",
                            f"{kind} after {name}",
                        ],
                        f"After {name} comes {after}.",
                        f"{capital(after)}.",
                        word=f"{capital(after)}.",
                        family="calendar",
                    )
                )
            if ring or i > 0:
                before = names[i - 1]
                facts.append(
                    make_fact(
                        [
                            f"what comes before {name}",
                            f"which {kind} comes before {name}",
                            f"what {kind} comes before {name}",
                            f"what {{is}} the {kind} before {name} _",
                            f"{kind} before {name}",
                        ],
                        f"Before {name} comes {before}.",
                        f"{capital(before)}.",
                        word=f"{capital(before)}.",
                        family="calendar",
                    )
                )
    for i, month in enumerate(MONTHS):
        days = 30 if month in ("April", "June", "September", "November") else 31
        if month != "February":
            facts.append(
                make_fact(
                    [
                        f"how many days {{are}} in {month} _",
                        f"how many days (does) {month} have/has",
                        f"how long {{is}} {month} _",
                    ],
                    f"{month} has {days} days.",
                    f"{days} days.",
                    word=f"{days}.",
                    family="calendar",
                )
            )
        season = ("winter", "spring", "summer", "autumn")[(i + 1) % 12 // 3]
        facts.append(
            make_fact(
                [
                    f"in which season {{is}} {month} _",
                    f"what season {{is}} {month} _ in",
                    f"which season (does) {month} belong/belongs to",
                ],
                f"In the northern half of the world, {month} is in {season}.",
                f"In {season}.",
                word=f"{capital(season)}.",
                family="calendar",
            )
        )
    return facts


def sizes() -> list[Fact]:
    """Which of two things is bigger or smaller."""
    names = (DATA / "sizes.txt").read_text(encoding="utf-8").split("\n")
    names = [name for name in names if name and not name.startswith("#")]
    facts = []
    for i, small in enumerate(names):
        for large in names[i + 1 :]:
            s, b = article(small), article(large)
            for x, y in ((s, b), (b, s)):
                facts.append(
                    make_fact(
                        [
                            f"what {{is}} bigger, {x} or {y} _",
                            f"which {{is}} bigger, {x} or {y} _",
                            f"{{is}} {b} _ bigger than {s}",
                            f"which one {{is}} larger, {x} or {y} _",
                            f"what {{is}} larger, {x} or {y} _",
                        ],
                        f"{capital(b)} is bigger than {s}.",
                        f"{capital(b)}.",
                        word=f"{capital(large)}.",
                        family="size",
                    )
                )
                facts.append(
                    make_fact(
                        [
                            f"what {{is}} smaller, {x} or {y} _",
                            f"which {{is}} smaller, {x} or {y} _",
                            f"{{is}} {s} _ smaller than {b}",
                        ],
                        f"{capital(s)} is smaller than {b}.",
                        f"{capital(s)}.",
                        word=f"{capital(small)}.",
                        family="size",
                    )
                )
    return facts


def lists() -> dict[str, list[str]]:
    """Kinds of things and some members of each."""
    return {kind: members.split(", ") for kind, members in read_table("lists.tsv")}
