"""Scores the embedded model on questions whose wordings are absent from the corpus.

    python score.py                                     the GGUF in the repository, run by pyollama
    python score.py --torch CHECKPOINTS                 a checkpoint, run by PyTorch

An item of heldout.jsonl passes if every `must` expression is found in the last answer, none of
`must_not` is, and the model stopped by itself. Half of the items (`dev`) may be looked at while the corpus
grows, the other half (`test`) not.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
STORE = HERE.parents[1] / "pyollama" / "models"
Answer = Callable[[list[dict[str, str]], int], tuple[str, bool]]


def model_blob(store: Path = STORE) -> Path:
    """The GGUF that the manifest of the store names."""
    path = store / "manifests/registry.ollama.ai/library/tiny/latest"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    digest = next(layer["digest"] for layer in manifest["layers"] if layer["mediaType"].endswith(".model"))
    return store / "blobs" / digest.replace(":", "-")


def with_pyollama(path: Path) -> Answer:
    """Greedy answers of a GGUF, from the library."""
    import pyollama

    llm = pyollama.LLM(str(path))

    def answer(messages: list[dict[str, str]], limit: int) -> tuple[str, bool]:
        result = llm.chat(messages, options={"temperature": 0, "num_predict": limit})
        return result.message.content, result.done_reason == "stop"

    return answer


def with_torch(folder: Path) -> Answer:
    """Greedy answers of a checkpoint."""
    from torch_chat import TorchChat

    return TorchChat(folder).answer


def passes(item: dict, text: str, stopped: bool) -> bool:
    """Whether an answer is right by the rules of its item."""
    found = all(re.search(rule, text, re.DOTALL | re.IGNORECASE) for rule in item["must"])
    return stopped and found and not any(re.search(rule, text) for rule in item.get("must_not", []))


def ask(answer: Answer, item: dict) -> tuple[str, bool]:
    """The last answer of a chat in which the model answers every turn itself."""
    chat = [{"role": "system", "content": item["system"]}] if "system" in item else []
    text, stopped = "", True
    for turn in item["turns"]:
        chat.append({"role": "user", "content": turn})
        text, stopped = answer(chat, item.get("limit", 128))
        chat.append({"role": "assistant", "content": text})
    return text, stopped


def main() -> None:
    """Print the failures and a table by category."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--torch", type=Path, help="folder of a checkpoint; without it pyollama runs the GGUF"
    )
    parser.add_argument("--gguf", type=Path, help="another GGUF than the one in the repository")
    parser.add_argument("--split", choices=("dev", "test", "all"), default="all")
    parser.add_argument(
        "--show", choices=("dev", "test", "all", "none"), default="dev", help="whose failures to print"
    )
    args = parser.parse_args()
    answer = with_torch(args.torch) if args.torch else with_pyollama(args.gguf or model_blob())
    totals: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for line in (HERE / "heldout.jsonl").read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        if args.split not in ("all", item["split"]):
            continue
        text, stopped = ask(answer, item)
        good = passes(item, text, stopped)
        for key in (
            (item["category"], item["split"]),
            (item["category"], "all"),
            ("all", item["split"]),
            ("all", "all"),
        ):
            totals[key][0] += good
            totals[key][1] += 1
        if not good and args.show in ("all", item["split"]):
            system = f"[{item['system']}] " if "system" in item else ""
            print(f"FAIL {item['category']}: {system}{' / '.join(item['turns'])}")
            print(f"  -> {text!r}{'' if stopped else ' [cut]'}")
    for (category, split), (good, count) in totals.items():
        if split == "all" or category == "all":
            print(f"{category:12} {split:5} {good:4} of {count:4}  {good / count:.3f}")


if __name__ == "__main__":
    main()
