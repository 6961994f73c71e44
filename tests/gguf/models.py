"""Very small models that llama.cpp loads, to be spoilt by tests."""

from __future__ import annotations

from .writer import GGUF, STRING, Tensor, Value, array, boolean, f32, string, u32

WIDTH, HIDDEN, HEADS, KV_HEADS = 32, 32, 4, 2
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def _attention(arch: str, *, blocks: int = 1, kv_heads: int | None = KV_HEADS) -> dict[bytes | str, Value]:
    values: dict[bytes | str, Value] = {
        "general.architecture": string(arch),
        f"{arch}.context_length": u32(64),
        f"{arch}.embedding_length": u32(WIDTH),
        f"{arch}.block_count": u32(blocks),
        f"{arch}.feed_forward_length": u32(HIDDEN),
        f"{arch}.attention.head_count": u32(HEADS),
    }
    if kv_heads is not None:
        values[f"{arch}.attention.head_count_kv"] = u32(kv_heads)
    return values


def _decoder_tensors(n_vocab: int, *, blocks: int = 1, biased: bool = False) -> list[Tensor]:
    kv_width = WIDTH // HEADS * KV_HEADS
    tensors = [Tensor("token_embd.weight", (WIDTH, n_vocab)), Tensor("output_norm.weight", (WIDTH,))]
    for layer in range(blocks):
        block = f"blk.{layer}."
        tensors += [
            Tensor(block + "attn_norm.weight", (WIDTH,)),
            Tensor(block + "attn_q.weight", (WIDTH, WIDTH)),
            Tensor(block + "attn_k.weight", (WIDTH, kv_width)),
            Tensor(block + "attn_v.weight", (WIDTH, kv_width)),
            Tensor(block + "attn_output.weight", (WIDTH, WIDTH)),
            Tensor(block + "ffn_norm.weight", (WIDTH,)),
            Tensor(block + "ffn_gate.weight", (WIDTH, HIDDEN), 8),
            Tensor(block + "ffn_up.weight", (WIDTH, HIDDEN), 2),
            Tensor(block + "ffn_down.weight", (HIDDEN, WIDTH), 1),
        ]
        if biased:
            tensors += [
                Tensor(block + "attn_q.bias", (WIDTH,)),
                Tensor(block + "attn_k.bias", (kv_width,)),
                Tensor(block + "attn_v.bias", (kv_width,)),
            ]
    return tensors


def llama() -> GGUF:
    """A llama with a SentencePiece vocabulary."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a", "b", "ab"]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * 4]
    values = _attention("llama") | {
        "llama.attention.layer_norm_rms_epsilon": f32(1e-5),
        "llama.rope.dimension_count": u32(WIDTH // HEADS),
        "llama.rope.freq_base": f32(10_000.0),
        "llama.vocab_size": u32(len(tokens)),
        "tokenizer.ggml.model": string("llama"),
        "tokenizer.ggml.pre": string("default"),
        "tokenizer.ggml.tokens": array(STRING, tokens),
        "tokenizer.ggml.scores": array(6, [-float(i) for i in range(len(tokens))]),
        "tokenizer.ggml.token_type": array(5, types),
        "tokenizer.ggml.bos_token_id": u32(1),
        "tokenizer.ggml.eos_token_id": u32(2),
        "tokenizer.ggml.unknown_token_id": u32(0),
        "tokenizer.ggml.add_bos_token": boolean(True),
        "tokenizer.ggml.add_eos_token": boolean(False),
        "tokenizer.chat_template": string("{{ messages[0].content }}"),
    }
    return GGUF(values, _decoder_tensors(len(tokens)))


def _bpe_tokens() -> list[str]:
    # The characters that GPT-2 writes for the 256 bytes.
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [*map(chr, shown), *(chr(256 + index) for index in range(len(hidden)))]


def qwen2() -> GGUF:
    """A qwen2 with a vocabulary of byte pairs."""
    tokens = [*_bpe_tokens(), "he", "ll", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    types = [*[NORMAL] * 258, *[CONTROL] * 3]
    values = _attention("qwen2", blocks=2) | {
        "qwen2.attention.layer_norm_rms_epsilon": f32(1e-6),
        "qwen2.rope.freq_base": f32(1e6),
        "general.type": string("model"),
        "general.name": string("small"),
        "general.file_type": u32(0),
        "general.quantization_version": u32(2),
        "tokenizer.ggml.model": string("gpt2"),
        "tokenizer.ggml.pre": string("qwen2"),
        "tokenizer.ggml.tokens": array(STRING, tokens),
        "tokenizer.ggml.token_type": array(5, types),
        "tokenizer.ggml.merges": array(STRING, ["h e", "l l"]),
        "tokenizer.ggml.bos_token_id": u32(258),
        "tokenizer.ggml.eos_token_id": u32(260),
        "tokenizer.ggml.padding_token_id": u32(258),
        "tokenizer.ggml.add_bos_token": boolean(False),
    }
    return GGUF(values, _decoder_tensors(len(tokens), blocks=2, biased=True))


def bert() -> GGUF:
    """A bert, which makes embeddings, with a vocabulary of word pieces."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *("\u2581" + c for c in "abcdef"), *"abcdef"]
    values = _attention("bert", kv_heads=None) | {
        "bert.attention.layer_norm_epsilon": f32(1e-12),
        "bert.attention.causal": boolean(False),
        "bert.pooling_type": u32(1),
        "tokenizer.ggml.model": string("bert"),
        "tokenizer.ggml.tokens": array(STRING, tokens),
        "tokenizer.ggml.token_type": array(5, [*[CONTROL] * 5, *[NORMAL] * 12]),
        "tokenizer.ggml.token_type_count": u32(2),
        "tokenizer.ggml.unknown_token_id": u32(1),
        "tokenizer.ggml.cls_token_id": u32(2),
        "tokenizer.ggml.bos_token_id": u32(2),
        "tokenizer.ggml.seperator_token_id": u32(3),
        "tokenizer.ggml.padding_token_id": u32(0),
        "tokenizer.ggml.mask_token_id": u32(4),
    }
    tensors = [
        Tensor("token_embd.weight", (WIDTH, len(tokens))),
        Tensor("token_types.weight", (WIDTH, 2)),
        Tensor("position_embd.weight", (WIDTH, 64)),
        Tensor("token_embd_norm.weight", (WIDTH,)),
        Tensor("token_embd_norm.bias", (WIDTH,)),
    ]
    for name, shape in (
        *((f"attn_{part}", (WIDTH, WIDTH)) for part in ("q", "k", "v", "output")),
        ("ffn_up", (WIDTH, HIDDEN)),
        ("ffn_down", (HIDDEN, WIDTH)),
        ("attn_output_norm", (WIDTH,)),
        ("layer_output_norm", (WIDTH,)),
    ):
        tensors += [Tensor(f"blk.0.{name}.weight", shape), Tensor(f"blk.0.{name}.bias", (shape[-1],))]
    return GGUF(values, tensors)


def gemma2(blocks: int, *, heads: bool) -> GGUF:
    """The llama as a gemma2 of so many layers: with 46 it divides by the number of heads."""
    model = of_architecture("gemma2").but(gemma2__block_count=u32(blocks))
    return model if heads else model.but(gemma2__attention__head_count=None)


def of_architecture(arch: str) -> GGUF:
    """The llama under the name of another architecture, with everything that one might look for."""
    small = llama()
    values = {
        str(key).replace("llama.", f"{arch}.", 1) if str(key).startswith("llama.") else key: value
        for key, value in small.values.items()
    }
    values["general.architecture"] = string(arch)
    values[f"{arch}.attention.layer_norm_epsilon"] = f32(1e-5)
    return GGUF(values, small.tensors)


MODELS = {"llama": llama, "qwen2": qwen2, "bert": bert}
