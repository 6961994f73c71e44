"""Writes the trained model as GGUF into a model store laid out as Ollama does it.

    python export.py --dir CHECKPOINTS --store ../../pyollama/models

The same weights give the same bytes. Blobs of the store that the new manifest does not name are removed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import TokenType
from tokenizers import Tokenizer

from model import ModelConfig
from tokens import CHAT_TEMPLATE, CONTROL, END_OF_TEXT, IM_END, USER_DEFINED, load

ROOT = Path(__file__).parents[2]
CONTEXT = 2048
DESCRIPTION = (
    "A very small chat model for first steps and tests. It answers simple questions, does small sums and "
    "tells short stories, and it says so when it does not know."
)
GO_TEMPLATE = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)
PARAMS = {"stop": ["<|im_start|>", "<|im_end|>"], "temperature": 0.3}
MEDIA = "application/vnd.ollama.image."


def token_lists(tokenizer: Tokenizer) -> tuple[list[str], list[int], list[str]]:
    """Tokens, their types, and the merges, as GGUF wants them."""
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    kinds = {
        **dict.fromkeys(CONTROL, TokenType.CONTROL),
        **dict.fromkeys(USER_DEFINED, TokenType.USER_DEFINED),
    }
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return (
        [text for text, _ in vocab],
        [int(kinds.get(text, TokenType.NORMAL)) for text, _ in vocab],
        [" ".join(merge) for merge in merges],
    )


def stored_as(name: str, kind: Type) -> Type:
    """The type of a matrix: Q8_0 holds for the feed-forward ones, the others keep F16."""
    return Type.F16 if kind == Type.Q8_0 and "ffn" not in name else kind


def write_gguf(path: Path, tensors: dict[str, torch.Tensor], tokenizer: Tokenizer, kind: Type) -> None:
    """Write weights, sizes, tokenizer and texts about the model."""
    c = ModelConfig()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_name("tiny")
    writer.add_author("pyollama")
    writer.add_organization("pyollama")
    writer.add_basename("tiny")
    writer.add_size_label(f"{sum(t.numel() for t in tensors.values()) / 1e6:.1f}M")
    writer.add_license("mit")
    writer.add_description(DESCRIPTION)
    writer.add_languages(["en"])
    writer.add_tags(["text-generation", "chat"])
    writer.add_file_type(
        int(gguf.LlamaFileType.MOSTLY_Q8_0 if kind == Type.Q8_0 else gguf.LlamaFileType.MOSTLY_F16)
    )
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(c.n_vocab)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(c.n_embd)
    writer.add_block_count(c.n_layer)
    writer.add_feed_forward_length(c.n_ff)
    writer.add_head_count(c.n_head)
    writer.add_head_count_kv(c.n_head_kv)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_layer_norm_rms_eps(c.norm_eps)
    texts, kinds, merges = token_lists(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_eos_token_id(tokenizer.token_to_id(IM_END))
    writer.add_pad_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", tokenizer.token_to_id("<|fim_prefix|>"))
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", tokenizer.token_to_id("<|fim_middle|>"))
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", tokenizer.token_to_id("<|fim_suffix|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in tensors.items():
        data = tensor.float().numpy()
        if tensor.dim() == 2:
            stored = stored_as(name, kind)
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(data, stored), raw_dtype=stored)
        else:
            writer.add_tensor(f"{name}.weight", data.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def compact(value: object) -> bytes:
    """JSON without spaces and with a newline, as Ollama writes it (`<` and `>` escaped)."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return (text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n").encode()


class Store:
    """A model store being written."""

    def __init__(self, root: Path) -> None:
        """Begin a store at a folder."""
        self.root = root
        self.kept: set[str] = set()
        (root / "blobs").mkdir(parents=True, exist_ok=True)

    def add(self, media: str, data: bytes) -> dict[str, object]:
        """Store a blob and describe it as a layer."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.root / "blobs" / f"sha256-{digest}"
        if not path.exists():
            path.write_bytes(data)
        self.kept.add(path.name)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    def finish(self, config: dict[str, object], layers: list[dict[str, object]]) -> None:
        """Write the manifest and remove the blobs that it does not name."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": config,
            "layers": layers,
        }
        path = self.root / "manifests/registry.ollama.ai/library/tiny/latest"
        path.parent.mkdir(parents=True, exist_ok=True)
        new = self.root / "manifests" / "new"
        new.write_bytes(compact(manifest))
        new.replace(path)
        for blob in (self.root / "blobs").iterdir():
            if blob.name not in self.kept:
                blob.unlink()


def export(checkpoint: Path, store_root: Path, kind: Type, averaged: bool) -> Path:
    """Write everything; gives the path of the model blob."""
    state = torch.load(checkpoint / "last.pt", weights_only=True)
    weights = state["average"] if averaged else state["model"]
    tensors = {name.removesuffix(".weight"): tensor for name, tensor in weights.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        write_gguf(path, tensors, load(checkpoint / "tokenizer.json"), kind)
        data = path.read_bytes()
    store = Store(store_root)
    size = f"{sum(t.numel() for t in tensors.values()) / 1e6:.2f}M"
    file_type = "Q8_0" if kind == Type.Q8_0 else "F16"
    config = {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "model_type": size,
        "file_type": file_type,
        "architecture": "amd64",
        "os": "linux",
    }
    model = store.add(MEDIA + "model", data)
    layers = [
        model,
        store.add(MEDIA + "template", GO_TEMPLATE.encode()),
        store.add(MEDIA + "license", (ROOT / "LICENSE").read_bytes()),
        store.add(MEDIA + "params", compact(PARAMS)),
    ]
    store.finish(store.add("application/vnd.docker.container.image.v1+json", compact(config)), layers)
    return store_root / "blobs" / str(model["digest"]).replace(":", "-")


def main() -> None:
    """Export and say where the model is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder of tokenizer.json and the checkpoint")
    parser.add_argument("--store", type=Path, default=ROOT / "pyollama" / "models")
    parser.add_argument("--f16", action="store_true", help="F16 in place of Q8_0")
    parser.add_argument(
        "--average", action="store_true", help="the running average in place of the last weights"
    )
    args = parser.parse_args()
    path = export(args.dir, args.store, Type.F16 if args.f16 else Type.Q8_0, args.average)
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
