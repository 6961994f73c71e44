"""Chats with a checkpoint, without any GGUF; slow, for use while training.

python torch_chat.py --dir CHECKPOINTS "Why is the sky blue?"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from corpus import Chat
from model import ModelConfig, TinyModel
from tokens import END_OF_TEXT, IM_END, load, prompt_text


class TorchChat:
    """Greedy answers of a checkpoint."""

    def __init__(self, folder: Path, averaged: bool = True) -> None:
        """Read a checkpoint."""
        self.tokenizer = load(folder / "tokenizer.json")
        state = torch.load(folder / "last.pt", weights_only=True)
        self.model = TinyModel(ModelConfig())
        self.model.load_state_dict(state["average"] if averaged else state["model"])
        self.model.eval()
        self.stops = {self.tokenizer.token_to_id(IM_END), self.tokenizer.token_to_id(END_OF_TEXT)}

    @torch.inference_mode()
    def continue_ids(self, ids: list[int], limit: int) -> tuple[list[int], bool]:
        """Greedy continuation of token ids, and whether it stopped by itself."""
        produced: list[int] = []
        while len(produced) < limit:
            hidden = self.model.hidden(torch.tensor([ids + produced]))[0, -1]
            best = int((self.model.token_embd.weight @ hidden).argmax())
            if best in self.stops:
                return produced, True
            produced.append(best)
        return produced, False

    def answer(self, messages: Chat, limit: int = 128) -> tuple[str, bool]:
        """The answer to a chat, and whether it stopped by itself."""
        produced, stopped = self.continue_ids(self.tokenizer.encode(prompt_text(messages)).ids, limit)
        return self.tokenizer.decode(produced, skip_special_tokens=False), stopped


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--system", default="")
    parser.add_argument("questions", nargs="+", help="one message each, as a chat")
    args = parser.parse_args()
    chat: Chat = [{"role": "system", "content": args.system}] if args.system else []
    model = TorchChat(args.dir)
    for question in args.questions:
        chat.append({"role": "user", "content": question})
        text, stopped = model.answer(chat)
        print(text if stopped else text + " [cut]")
        chat.append({"role": "assistant", "content": text})


if __name__ == "__main__":
    main()
