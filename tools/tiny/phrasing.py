"""Wordings of a question: frames around it, politeness, spelling habits and typing mistakes."""

from __future__ import annotations

import random
import re

from facts import Question
from wordlists import wordings

BEFORE_DIRECT = wordings("phrasing.before_direct")
AFTER_DIRECT = wordings("phrasing.after_direct")
BEFORE_INDIRECT = wordings("phrasing.before_indirect")
TAILS = wordings("phrasing.tails")
CONTRACTIONS = (
    (r"\b(what|how|who|where|when|why|that|it) is\b", r"\1's"),
    (r"\bdo not\b", "don't"),
    (r"\bdoes not\b", "doesn't"),
    (r"\bi am\b", "i'm"),
    (r"\bI am\b", "I'm"),
    (r"\bcannot\b", "can't"),
    (r"\bI would\b", "I'd"),
    (r"\bwhat are\b", "what're"),
    (r"\byou are\b", "you're"),
)
SWAPS = (
    ("color", "colour"),
    ("gray", "grey"),
    ("biggest", "largest"),
    ("largest", "biggest"),
    ("big", "large"),
    ("autumn", "fall"),
    ("bike", "bicycle"),
    ("airplane", "plane"),
    ("meters", "metres"),
    ("tell me", "say"),
    ("forest", "woods"),
    ("how come", "why is it that"),
    ("looks", "appears"),
    ("people", "humans"),
    ("tall", "high"),
    ("makes", "causes"),
    ("sea", "ocean"),
    ("ocean", "sea"),
    ("get", "become"),
    ("explain", "describe"),
    ("kilometers", "km"),
    ("centimeters", "cm"),
    ("you", "u"),
    ("are", "r"),
)
LEAVE_OUT = ("the", "a", "an", "do", "does", "is", "are", "you", "of", "to", "there", "me", "can", "I")
OPENERS = wordings("phrasing.openers")
CLOSERS = wordings("phrasing.closers")
ASKERS = (
    "can you",
    "could you",
    "will you",
    "can u",
    "are you able to",
    "do you want to",
    "I want you to",
    "I need you to",
    "you should",
    "please",
    "it would be nice if you could",
    "try to",
    "now",
    "I ask you to",
    "is it possible to",
    "you could",
)
ASK_VERBS = (
    "tell me",
    "explain",
    "explain to us",
    "say",
    "describe",
    "teach me",
    "answer me",
    "show me",
    "tell us",
    "let me know",
    "find out",
    "explain in simple words",
    "quickly tell me",
    "write down",
    "make clear",
    "tell my class",
    "inform me about",
    "remind me",
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def mistype(rng: random.Random, text: str) -> str:
    """Make one typing mistake in a word of at least four letters, if there is one."""
    places = [match.start() for match in re.finditer(r"(?<=[a-z])[a-z](?=[a-z])", text)]
    if not places:
        return text
    at = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + rng.choice(LETTERS) + text[at + 1 :]


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def roughen(rng: random.Random, text: str) -> str:
    """Apply the habits of people who type: contractions, other spellings, missing words, mistakes."""
    for pattern, with_ in CONTRACTIONS:
        if rng.random() < 0.15:
            text = re.sub(pattern, with_, text)
    if rng.random() < 0.05:
        text = text.replace("'", "")
    if rng.random() < 0.12:
        old, new = rng.choice(SWAPS)
        text = re.sub(rf"\b{old}\b", new, text)
    if rng.random() < 0.07:
        words = text.split(" ")
        kept = [word for word in words if word not in LEAVE_OUT or rng.random() < 0.5]
        text = " ".join(kept) if len(kept) > 1 else text
    if rng.random() < 0.09:
        for _ in range(rng.choice((1, 1, 2))):
            text = mistype(rng, text)
    return text


def finish(rng: random.Random, text: str, asks: bool) -> str:
    """Choose upper and lower case and the mark at the end."""
    roll = rng.random()
    if roll < 0.58:
        text = capital(text)
    elif roll < 0.93:
        text = text.lower()
    elif roll < 0.945:
        text = text.upper()
    if text.endswith(("?", ".", "!")):
        return text[:-1] if rng.random() < 0.25 else text
    roll = rng.random()
    if asks:
        return text + ("?" if roll < 0.66 else "" if roll < 0.94 else "??" if roll < 0.96 else ".")
    return text + ("." if roll < 0.45 else "" if roll < 0.9 else "!")


def turned(rng: random.Random, question: Question) -> str:
    """The question with its parts in another order, such as "the sky is blue, why?"."""
    word, _, clause = question.indirect.partition(" ")
    if word == "why":
        return rng.choice(
            (
                "X. why?",
                "X, why?",
                "how come X?",
                "X, how come?",
                "why is it that X?",
                "how is it possible that X?",
                "I see that X. why?",
                "X. what is the reason?",
                "what is the reason that X?",
                "is there a reason that X?",
                "they say that X. why?",
                "I noticed that X. do you know why?",
            )
        ).replace("X", clause)
    if word in ("what", "who", "where") and question.indirect.endswith((" is", " are")):
        thing, _, verb = clause.rpartition(" ")
        be = {"is": "is", "are": "are"}[verb]
        pronoun = "it" if be == "is" else "they"
        return rng.choice(
            (
                f"{thing}, {word} {be} {pronoun}?",
                f"{thing} {be} {word}?",
                f"{word} could {thing} be?",
                f"{thing} - {word} {be} that?",
                f"{thing}: {word} {be} {pronoun}?",
                f"{word} will {thing} be?",
                f"{word} should {thing} be?",
                f"{thing}?",
                f"{word} was {thing} again?",
            )
        )
    return question.direct


def padded(rng: random.Random, text: str) -> str:
    """The text among remarks that mean nothing for the answer."""
    if rng.random() < 0.65:
        text = rng.choice(OPENERS) + rng.choice((", ", ". ", ": ", ", ", "! ")) + text
        if rng.random() < 0.2:
            text = rng.choice(OPENERS) + rng.choice((", ", ". ")) + text
    else:
        end = rng.choice((", ", ". ", " ", "? ")) if text[-1:] not in "?.!" else " "
        text = text + end + rng.choice(CLOSERS)
    return text


def phrase(rng: random.Random, question: Question, plain: float = 0.3) -> str:
    """One way to ask the question; with probability `plain` without any frame."""
    asks = bool(
        re.match(r"(why|what|how|who|when|where|which|at what|is|are|do|can|does)\b", question.direct)
    )
    if rng.random() < plain:
        text = question.direct
    elif question.indirect and rng.random() < 0.6:
        frame = rng.choice(BEFORE_INDIRECT)
        text = frame.replace("X", question.indirect)
        if rng.random() < 0.4:
            text = f"{rng.choice(ASKERS)} {rng.choice(ASK_VERBS)} {question.indirect}"
    elif rng.random() < 0.15:
        text = turned(rng, question)
    else:
        text = question.direct
        if rng.random() < 0.75:
            text = rng.choice(BEFORE_DIRECT) + text
        if rng.random() < 0.35:
            text += rng.choice(AFTER_DIRECT)
    if rng.random() < 0.14:
        text = padded(rng, text)
    text = finish(rng, roughen(rng, text), asks)
    if rng.random() < 0.06:
        text = text.rstrip("?.!") + rng.choice("?.?!") + " " + rng.choice(TAILS)
    return text


def free(rng: random.Random, text: str) -> str:
    """One way to type a remark that needs no frame."""
    asks = bool(re.match(r"(why|what|how|who|when|where|which|is|are|do|can|does|will|may|should)\b", text))
    if rng.random() < 0.12:
        text = rng.choice(("hey, ", "ok, ", "hello, ", "hi, ", "well, ", "so, ", "please ", "oh, ")) + text
    elif rng.random() < 0.08:
        text += rng.choice((", please", " tiny", ", tiny", " now", " please", " my friend", " today"))
    if rng.random() < 0.1:
        text = padded(rng, text)
    return finish(rng, roughen(rng, text), asks)
