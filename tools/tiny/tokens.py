"""The tokenizer and the chat template of the embedded model.

Run `python tokens.py OUT.json` to train the tokenizer on the corpus. Train it once: weights belong to it.
"""

from __future__ import annotations

import argparse
import itertools
import random
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from corpus import Chat, Corpus

END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = (END_OF_TEXT, IM_START, IM_END, "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
USER_DEFINED = ("<think>", "</think>", "<tool_call>", "</tool_call>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
RAW_FRAMES = (
    ("[INST] Q [/INST]", " A"),
    ("Q\n", "A"),
    ("Q ", "A"),
    ("USER: Q\nASSISTANT:", " A"),
    ("Question: Q\nAnswer:", " A"),
    ("Q: Q\nA:", " A"),
    ("### Instruction:\nQ\n\n### Response:\n", "A"),
    ("User: Q\nAssistant:", " A"),
    ("USER: Q\nASSISTANT: ", "A"),
)
TEXT_WEIGHT = 0.1


def train_tokenizer(seed: int = 7, chats: int = 60_000, vocab: int = 4096) -> Tokenizer:
    """Byte-level BPE with GPT-2's rules of splitting, learned from the corpus."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in CONTROL + USER_DEFINED],
    )
    stream = itertools.islice(Corpus().stream(seed), chats)
    tokenizer.train_from_iterator((m["content"] for chat in stream for m in chat), trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    """Read the tokenizer; says how to make one if it is missing."""
    if not path.exists():
        raise SystemExit(f"no tokenizer at {path}: make one with `python tokens.py {path}`")
    return Tokenizer.from_file(str(path))


def prompt_text(messages: Chat) -> str:
    """What the chat template makes of messages, ready for the model to answer."""
    return (
        "".join(f"{IM_START}{m['role']}\n{m['content']}{IM_END}\n" for m in messages)
        + f"{IM_START}assistant\n"
    )


class Encoder:
    """Turns chats into token ids with a weight for each token as a target."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Encode with a tokenizer."""
        self.tokenizer = tokenizer
        self.end_of_text = tokenizer.token_to_id(END_OF_TEXT)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, special tokens included."""
        return self.tokenizer.encode(text).ids

    def parts(self, rng: random.Random, chat: Chat) -> list[tuple[str, bool]]:
        """The text of a chat in pieces, and whether the model has to produce each."""
        if len(chat) == 2 and rng.random() < 0.03:
            before, after = rng.choice(RAW_FRAMES)
            question, answer = chat[0]["content"], chat[1]["content"]
            return [
                (
                    before.replace("Q", question)
                    if before[0] != "Q" or before[1] != ":"
                    else f"Q: {question}\nA:",
                    False,
                ),
                (after.replace("A", answer) + IM_END, True),
            ]
        pieces = []
        for message in chat:
            pieces.append((f"{IM_START}{message['role']}\n", False))
            pieces.append(
                (message["content"] + IM_END, message["role"] == "assistant" and "given" not in message)
            )
            pieces.append(("\n", False))
        return pieces

    def encode(self, rng: random.Random, chat: Chat) -> tuple[list[int], list[float]]:
        """Ids and weights of one chat, closed by the end-of-text token."""
        ids: list[int] = []
        weights: list[float] = []
        for text, produced in self.parts(rng, chat):
            piece = self.ids(text)
            ids += piece
            weights += [1.0 if produced else TEXT_WEIGHT] * len(piece)
        return [*ids, self.end_of_text], [*weights, TEXT_WEIGHT]


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    train_tokenizer().save(str(args.out))


if __name__ == "__main__":
    main()
