"""Writes small GGUF files of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

WIDTH = 8


def write(path: Path, values: dict[str, Any], tensors: dict[str, tuple[int, ...]]) -> bytes:
    """A file with these values and with tensors of zeros; returns what is in it."""
    writer = gguf.GGUFWriter(path, values.pop("general.architecture"))
    for key, value in values.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        else:
            writer.add_string(key, value)
    for name, shape in tensors.items():
        writer.add_tensor(name, np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


LLAMA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.file_type": 0,
    "llama.context_length": 64,
    "llama.embedding_length": WIDTH,
    "llama.block_count": 1,
    "llama.feed_forward_length": WIDTH,
    "llama.attention.head_count": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a"],
}
KINDS: dict[str, tuple[dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "model": (LLAMA, {"token_embd.weight": (4, WIDTH)}),
    "vocabulary": (LLAMA, {}),
    "adapter": (
        {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"},
        {"blk.0.attn_q.weight.lora_a": (4, WIDTH), "blk.0.attn_q.weight.lora_b": (WIDTH, 4)},
    ),
    "projector": (
        {"general.architecture": "clip", "general.type": "mmproj", "clip.vision.block_count": 2},
        {"v": (4,)},
    ),
}


def gguf_file(kind: str, path: Path, **values: Any) -> bytes:
    """A file of that kind, with other values; ``__`` in a name stands for a dot."""
    found, tensors = KINDS[kind]
    more = {name.replace("__", "."): value for name, value in values.items()}
    return write(path, {**found, **more}, tensors)
