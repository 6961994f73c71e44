"""The training corpus: an endless stream of chats that depends only on the seed.

Run `python corpus.py --seed 1 --count 20` to look at some chats.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator

import jsonask
import memory
import styles
from exchanges import Exchanges
from facts import DATA
from phrasing import free, phrase
from stories import make_story
from sums import make_sum
from tables import capital
from wordlists import wordings

Chat = list[dict[str, str]]
SKY = "why {is} the sky _ blue"
SHORTER = wordings("corpus.shorter")
AGAIN = wordings("corpus.again")
ASKED = wordings("corpus.asked")
MORE = wordings("corpus.more")
MORE_REPLIES = wordings("corpus.more_replies")
DIFFERENT = wordings("corpus.different")
DUE = wordings("corpus.due")


class Corpus(Exchanges):
    """Chats made of exchanges, styles, stories and things to remember."""

    def __init__(self) -> None:
        """Read all data files."""
        super().__init__()
        self.held_out = held_out_wordings()

    def single(self, rng: random.Random) -> Chat:
        """One question, one answer; sometimes asked to be short."""
        question, answer, short, word = self.exchange(rng)
        roll = rng.random()
        if roll < 0.06:
            question = (
                question
                + ("" if question[-1:] in "?.!" else rng.choice("?."))
                + " "
                + rng.choice(styles.BRIEF_TAILS)
            )
            answer = short
        elif roll < 0.085 and word:
            question = (
                question
                + ("" if question[-1:] in "?.!" else "?")
                + " "
                + rng.choice(wordings("corpus.single"))
            )
            answer = word
        return [user(question), model(answer)]

    def styled(self, rng: random.Random) -> Chat:
        """A chat under a system message."""
        if rng.random() < 0.25:
            return self.persona(rng)
        style = styles.choose(rng)
        chat = [{"role": "system", "content": style.system}]
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            question, answer, short, _ = self.exchange(rng)
            text = style.change(short if style.short else answer)
            chat += [user(question), model(text)]
        return chat

    def persona(self, rng: random.Random) -> Chat:
        """A chat in which the model has another name."""
        system, _, intro = styles.persona(rng)
        asks = next(intent for intent in self.smalltalk if intent.name == "who_are_you").remarks
        chat = [{"role": "system", "content": system}]
        for _ in range(rng.choice((1, 1, 2))):
            roll = rng.random()
            if roll < 0.6:
                chat += [user(free(rng, rng.choice([a for a in asks if "model" not in a]))), model(intro)]
            elif roll < 0.8:
                hello = rng.choice(
                    ("hello", "hi", "hey", "good morning", "hi there", "hello there", "how are you")
                )
                chat += [user(free(rng, hello)), model(f"Hello! {intro} How can I help you?")]
            else:
                question, answer, *_ = self.exchange(rng)
                chat += [user(question), model(answer)]
        return chat

    def jsonic(self, rng: random.Random) -> Chat:
        """A question with an answer in JSON."""
        roll = rng.random()
        if roll < 0.2:
            pair = jsonask.ask_person(rng)
        elif roll < 0.3:
            kind = rng.choice(sorted(self.lists))
            pair = jsonask.ask_list(rng, kind, self.lists[kind])
        elif roll < 0.4:
            question, _, short = make_sum(rng)
            pair = jsonask.with_tail(rng, question), '{"answer": ' + short.rstrip(".") + "}"
        elif roll < 0.47:
            pair = jsonask.ask_fact(rng, next(f for f in self.facts if f.short.startswith("Pink in")))
        elif roll < 0.55:
            fact = self.fact(rng)
            return [
                {"role": "system", "content": rng.choice(jsonask.SYSTEMS)},
                user(phrase(rng, rng.choice(fact.questions))),
                model(jsonask.answer_of(fact)),
            ]
        else:
            pair = jsonask.ask_fact(rng, self.fact(rng))
        return [user(pair[0]), model(pair[1])]

    def follow_up(self, rng: random.Random) -> Chat:
        """Two questions of which the second needs the first."""
        if rng.random() < 0.15:
            asked = phrase(rng, self.sky.questions[0])
            said = rng.choice(DUE) if rng.random() < 0.6 else self.sky.answer
            return [
                user(asked),
                {**model(said), "given": "yes"},
                user(free(rng, rng.choice(DIFFERENT))),
                model(self.mie.answer),
            ]
        if rng.random() < 0.3:
            return self.what_about(rng)
        if rng.random() < 0.2:
            return self.praise(rng)
        question, answer, short, _ = self.exchange(rng)
        roll = rng.random()
        if roll < 0.3:
            remarks, reply = SHORTER, short
        elif roll < 0.55:
            remarks, reply = AGAIN, answer
        elif roll < 0.75:
            remarks, reply = ASKED, f"You asked: {question}"
        else:
            remarks, reply = MORE, rng.choice(MORE_REPLIES)
        return [user(question), model(answer), user(free(rng, rng.choice(remarks))), model(reply)]

    def praise(self, rng: random.Random) -> Chat:
        """A story, a joke or an answer, and what the user says to it."""
        kind = rng.choice(("story", "joke", "poem", "answer"))
        if kind == "story":
            first = make_story(rng)
        else:
            names = (
                ("joke", "riddle")
                if kind == "joke"
                else ("poem", "song")
                if kind == "poem"
                else ("fun_fact",)
            )
            wanted = rng.choice(names)
            intent = next(i for i in self.smalltalk if i.name == wanted)
            first = free(rng, rng.choice(intent.remarks)), rng.choice(intent.replies)
        nice = rng.choice(wordings("corpus.praise"))
        if rng.random() < 0.5:
            said = rng.choice(
                (
                    f"thank you, that was a {nice} {kind}",
                    f"thanks for the {nice} {kind}",
                    f"thank you for the {kind}",
                    f"thanks, {nice} {kind}",
                    f"thank you, {nice}",
                    f"what a {nice} {kind}, thank you",
                )
            )
            reply = rng.choice(wordings("corpus.praise_2"))
        else:
            said = rng.choice(
                (
                    f"that was a {nice} {kind}",
                    f"haha, {nice}",
                    f"what a {nice} {kind}",
                    f"{nice} {kind}",
                    "hahaha very good",
                    f"I like this {kind}",
                    f"I love that {kind}",
                    f"wow, {nice}",
                    "haha that was funny",
                    "lol good one",
                )
            )
            reply = rng.choice(("Thank you, that is very kind!", "Thank you! I am happy that you like it."))
        return [*pair(first), user(free(rng, said)), model(reply)]

    def what_about(self, rng: random.Random) -> Chat:
        """The same question about another thing ("and Italy?")."""
        if rng.random() < 0.5:
            one, two = rng.sample(self.countries, 2)
            ask = rng.choice(
                ("what is the capital of X", "capital of X", "do you know the capital of X", "X's capital")
            )
            pairs = [(row[0], f"The capital of {row[0]} is {row[1]}.") for row in (one, two)]
        else:
            one, two = rng.sample(self.animals, 2)
            ask = rng.choice(("what does a X eat", "where do you find a X"))
            eats = "eat" in ask
            pairs = [
                (row[0], f"{capital(row[1])} {'eat ' + row[6] if eats else 'live ' + row[7]}.")
                for row in (one, two)
            ]
        then = rng.choice(
            ("and X", "what about X", "and of X", "and for X", "and what about X", "how about X", "and the X")
        )
        return [
            user(free(rng, ask.replace("X", pairs[0][0]))),
            model(pairs[0][1]),
            user(free(rng, then.replace("X", pairs[1][0]))),
            model(pairs[1][1]),
        ]

    def remembering(self, rng: random.Random) -> Chat:
        """The user tells something and asks for it some turns later."""
        traits = rng.sample(memory.TRAITS, 3)
        if rng.random() < 0.5:
            traits.remove(memory.TRAITS[0]) if memory.TRAITS[0] in traits else traits.pop()
            traits.insert(0, memory.TRAITS[0])
        told = traits[: rng.choice((1, 1, 2, 2, 3))]
        values = {trait.key: self.values.draw(rng, trait.key) for trait in told}
        chat: Chat = []
        todo = list(told)
        if len(told) > 1 and rng.random() < 0.5:
            one, two = todo.pop(0), todo.pop(0)
            chat += pair(memory.tell_two(rng, one, values[one.key], two, values[two.key]))
        for trait in todo:
            chat += pair(memory.tell(rng, trait, values[trait.key]))
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3))):
            question, answer, *_ = self.exchange(rng)
            chat += [user(question), model(answer)]
        for trait in rng.sample(told, rng.randrange(1, len(told) + 1)):
            chat += pair(memory.ask(rng, trait, values[trait.key]))
        if rng.random() < 0.12:
            untold = rng.choice([trait for trait in memory.TRAITS if trait not in told])
            chat += pair(memory.ask_untold(rng, untold))
        return chat

    def rambling(self, rng: random.Random, turns: int) -> Chat:
        """A long chat of unrelated exchanges, with some things to remember."""
        chat: Chat = []
        while len(chat) < 2 * turns:
            roll = rng.random()
            if roll < 0.6:
                question, answer, *_ = self.exchange(rng)
                chat += [user(question), model(answer)]
            elif roll < 0.7:
                chat += pair(make_story(rng))
            elif roll < 0.85:
                chat += self.remembering(rng)
            else:
                chat += self.follow_up(rng)
        return chat

    def chat(self, rng: random.Random) -> Chat:
        """One chat of any kind."""
        roll = rng.random()
        if roll < 0.54:
            return self.single(rng)
        if roll < 0.70:
            return self.styled(rng)
        if roll < 0.74:
            return self.jsonic(rng)
        if roll < 0.79:
            return [*pair(make_story(rng))]
        if roll < 0.84:
            return self.follow_up(rng)
        if roll < 0.93:
            return self.remembering(rng)
        return self.rambling(rng, rng.choice((2, 2, 3, 3, 4, 5)))

    def stream(self, seed: int, long_share: float = 0.0) -> Iterator[Chat]:
        """Chats without end, none with a held-out wording; a share of them with ten to thirty turns."""
        rng = random.Random(seed)
        while True:
            long = rng.random() < long_share
            chat = self.rambling(rng, rng.randrange(10, 30)) if long else self.chat(rng)
            if not any(
                message["role"] == "user" and normal(message["content"]) in self.held_out for message in chat
            ):
                yield chat


def normal(text: str) -> str:
    """The text in lower case and without punctuation."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


def held_out_wordings() -> set[str]:
    """What the score asks, in normal form; the corpus must not hold it."""
    lines = (DATA.parent / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    return {normal(turn) for line in lines for turn in json.loads(line)["turns"]}


def user(text: str) -> dict[str, str]:
    """A message of the user."""
    return {"role": "user", "content": text}


def model(text: str) -> dict[str, str]:
    """A message of the model."""
    return {"role": "assistant", "content": text}


def pair(texts: tuple[str, str]) -> Chat:
    """A question and its answer as messages."""
    return [user(texts[0]), model(texts[1])]


def main() -> None:
    """Print chats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    args = parser.parse_args()
    for _, chat in zip(range(args.count), Corpus().stream(args.seed), strict=False):
        for message in chat:
            print(f"{message['role']:>9}: {message['content']}")
        print()


if __name__ == "__main__":
    main()
