"""Models of real shapes with random weights.

Speed does not depend on the values of weights, so such a model measures what a real one of its shape would cost.
The vocabulary is Llama 3's, from a vocabulary-only GGUF in llama.cpp's tree.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

__all__ = ["SHAPES", "model_file"]

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "benchmarks"
VOCABULARY = ROOT / "vendor" / "llama.cpp" / "models" / "ggml-vocab-llama-bpe.gguf"


class Shape(NamedTuple):
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    type: Type

    @property
    def head_width(self) -> int:
        return self.width // self.heads


SHAPES = {
    "135m": Shape(30, 576, 1536, 9, 3, Type.Q8_0),  # SmolLM2 135M
    "1b": Shape(16, 2048, 8192, 32, 8, Type.Q4_0),  # Llama 3.2 1B
}


def model_file(name: str) -> Path:
    """The GGUF file of a shape, made when it is not there."""
    path = FOLDER / f"{name}.gguf"
    if not path.exists():
        if not VOCABULARY.exists():
            raise SystemExit(
                f"{VOCABULARY} is missing: run 'python vendor/bring.py' in a clone of the repository"
            )
        FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        _write(unfinished, name, SHAPES[name])
        unfinished.rename(path)
    return path


def _write(path: Path, name: str, shape: Shape) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"random-{name}")
    writer.add_context_length(131_072)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(500_000.0)
    n_vocab = _copy_vocabulary(writer)
    writer.add_vocab_size(n_vocab)

    rng = np.random.default_rng(1)

    def matrix(key: str, rows: int, columns: int, type: Type = shape.type) -> None:
        writer.add_tensor(key, _random_blocks(rng, rows, columns, type), raw_dtype=type)

    def ones(key: str) -> None:
        writer.add_tensor(key, np.ones(shape.width, dtype=np.float32))

    kv_width = shape.kv_heads * shape.head_width
    matrix("token_embd.weight", n_vocab, shape.width, Type.Q8_0)
    ones("output_norm.weight")
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        ones(prefix + "attn_norm.weight")
        matrix(prefix + "attn_q.weight", shape.width, shape.width)
        matrix(prefix + "attn_k.weight", kv_width, shape.width)
        matrix(prefix + "attn_v.weight", kv_width, shape.width)
        matrix(prefix + "attn_output.weight", shape.width, shape.width)
        ones(prefix + "ffn_norm.weight")
        matrix(prefix + "ffn_gate.weight", shape.feed_forward, shape.width)
        matrix(prefix + "ffn_up.weight", shape.feed_forward, shape.width)
        matrix(prefix + "ffn_down.weight", shape.width, shape.feed_forward)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_vocabulary(writer: gguf.GGUFWriter) -> int:
    n_vocab = 0
    for key, field in gguf.GGUFReader(VOCABULARY).fields.items():
        if not key.startswith("tokenizer."):
            continue
        value = field.contents()
        if key == "tokenizer.ggml.tokens":
            n_vocab = len(value)
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, value)
        else:
            writer.add_key_value(key, value, field.types[0])
    return n_vocab


def _random_blocks(rng: np.random.Generator, rows: int, columns: int, type: Type) -> np.ndarray:
    """Blocks of 32 numbers: a 16-bit scale, then the numbers. The scale keeps activations near 1."""
    bytes_per_block = {Type.Q4_0: 16, Type.Q8_0: 32}[type]
    largest = {Type.Q4_0: 4.6, Type.Q8_0: 73.0}[type]  # standard deviation of the stored integers
    blocks = np.empty((rows, columns // 32, 2 + bytes_per_block), dtype=np.uint8)
    scale = np.float16(1 / np.sqrt(columns) / largest)
    blocks[:, :, :2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
    blocks[:, :, 2:] = rng.integers(0, 256, size=(rows, columns // 32, bytes_per_block), dtype=np.uint8)
    return blocks.reshape(rows, -1)
