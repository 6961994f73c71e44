"""Trains the embedded model on the CPU; stops and goes on at any checkpoint.

    python train.py --dir CHECKPOINTS --steps 4000

The learning rate rises for a short while, stays, and falls over the last part of the steps. The data of a
step depends only on the seed and the step, so a run that was stopped sees what it would have seen.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from corpus import Corpus
from model import ModelConfig, TinyModel
from tokens import Encoder, load

CHUNK = 50
MUON_RATE, ADAM_RATE = 0.004, 0.003
AVERAGE = 0.995


def batches(
    encoder: Encoder, corpus: Corpus, seed: int, step: int, rows: int, length: int, long_share: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """The CHUNK batches that begin at a step: ids and target weights of (rows, length + 1)."""
    rng = random.Random(seed * 1_000_003 + step)
    stream = corpus.stream(rng.getrandbits(48), long_share)
    for _ in range(CHUNK):
        ids, weights = [], []
        for _ in range(rows):
            row: list[int] = []
            row_weights: list[float] = []
            while len(row) <= length:
                chat_ids, chat_weights = encoder.encode(rng, next(stream))
                row += chat_ids
                row_weights += chat_weights
            ids.append(row[: length + 1])
            weights.append(row_weights[: length + 1])
        yield torch.tensor(ids), torch.tensor(weights)


def rate(step: int, steps: int, fall: float) -> float:
    """Factor of the learning rate at a step."""
    start = steps * (1 - fall)
    return min(1.0, (step + 1) / 100) * (1.0 if step < start else max(0.02, (steps - step) / (steps - start)))


class Trainer:
    """Model, optimizers, running average of the weights, and their checkpoint."""

    def __init__(self, folder: Path, compiled: bool) -> None:
        """Make the model, or go on from the checkpoint in the folder."""
        self.folder = folder
        self.model = TinyModel(ModelConfig())
        matrices = [p for n, p in self.model.named_parameters() if p.dim() == 2 and "embd" not in n]
        others = [p for n, p in self.model.named_parameters() if p.dim() != 2 or "embd" in n]
        self.muon = torch.optim.Muon(
            matrices, lr=MUON_RATE, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"
        )
        self.adam = torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        self.log: list[dict[str, float]] = []
        self.run = torch.compile(self.loss, dynamic=False) if compiled else self.loss
        if (folder / "last.pt").exists():
            self.load()

    def loss(self, ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted mean loss, and the plain mean over what the model has to produce."""
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(ids[:, :-1])
        each = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        target = weights[:, 1:].flatten()
        mine = (target == 1.0).float()
        return (each * target).sum() / target.sum(), ((each * mine).sum() / mine.sum()).detach()

    def update(self, ids: Tensor, weights: Tensor, factor: float) -> float:
        """One step of training; gives the loss over what the model has to produce."""
        loss, mine = self.run(ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, base in ((self.muon, MUON_RATE), (self.adam, ADAM_RATE)):
            for group in optimizer.param_groups:
                group["lr"] = base * factor
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            current = [p for _, p in self.model.named_parameters()]
            torch._foreach_lerp_(
                list(self.average.values()), current, 1 - min(AVERAGE, self.step / (self.step + 10))
            )
        return mine.item()

    def save(self) -> None:
        """Write the checkpoint so that a crash leaves the old one."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "tokens": self.tokens,
            "log": self.log,
        }
        torch.save(state, self.folder / "new.pt")
        (self.folder / "new.pt").replace(self.folder / "last.pt")
        (self.folder / "log.json").write_text(json.dumps(self.log, indent=0) + "\n", encoding="utf-8")

    def load(self) -> None:
        """Go on from the checkpoint."""
        state = torch.load(self.folder / "last.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.step, self.seconds, self.tokens, self.log = (
            state["step"],
            state["seconds"],
            state["tokens"],
            state["log"],
        )


def main() -> None:
    """Train up to --steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder of tokenizer.json and the checkpoint")
    parser.add_argument("--steps", type=int, default=4000, help="where training ends")
    parser.add_argument(
        "--until", type=int, default=0, help="stop here for now, the rate still falling towards --steps"
    )
    parser.add_argument("--fall", type=float, default=0.35, help="share of the steps in which the rate falls")
    parser.add_argument(
        "--long-from", type=int, default=0, help="step from which rows have 2,048 tokens, 0 for never"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    encoder, corpus = Encoder(load(args.dir / "tokenizer.json")), Corpus()
    trainer = Trainer(args.dir, not args.no_compile)
    last = args.until or args.steps
    while trainer.step < last:
        long = bool(args.long_from) and trainer.step >= args.long_from
        rows, length, share = (3, 2048, 0.4) if long else (12, 512, 0.0)
        started, losses = time.monotonic(), []
        for ids, weights in batches(encoder, corpus, args.seed, trainer.step, rows, length, share):
            losses.append(trainer.update(ids, weights, rate(trainer.step, args.steps, args.fall)))
            trainer.step += 1
        spent = time.monotonic() - started
        trainer.seconds += spent
        trainer.tokens += CHUNK * rows * length
        trainer.log.append(
            {
                "step": trainer.step,
                "loss": round(sum(losses) / len(losses), 4),
                "seconds": round(trainer.seconds),
                "tokens": trainer.tokens,
            }
        )
        print(trainer.log[-1], f"{CHUNK * rows * length / spent:.0f} tokens/s", flush=True)
        trainer.save()


if __name__ == "__main__":
    main()
