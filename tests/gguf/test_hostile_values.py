"""Files of a right structure whose values would make llama.cpp abort, divide by zero or not come back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pyollama.gguf import GGUFHeader

from .models import MODELS, bert, gemma2, llama, of_architecture, qwen2
from .refusing import refused, refused_with_little_memory
from .writer import GGUF, STRING, Tensor, Value, array, boolean, f32, i32, scalar, string, u32

BIG = 2**32 - 1


def tokens(items: list[bytes | str], *, scores: bool = True) -> dict[Any, Value | None]:
    """The values of another vocabulary, of ordinary tokens."""
    return {
        "tokenizer.ggml.tokens": array(STRING, items),
        "tokenizer.ggml.scores": array(6, [0.0] * len(items)) if scores else None,
        "tokenizer.ggml.token_type": array(5, [1] * len(items)),
        "llama.vocab_size": u32(len(items)),
    }


def with_vocabulary(items: list[bytes | str], **values: Value | None) -> GGUF:
    model = llama().set(tokens(items)).but(**values)
    return model.with_tensor(0, shape=(32, len(items)))


def out_of_range(name: str, *values: int) -> dict[str, tuple[GGUF, str]]:
    return {
        f"{name} {value}": (llama().set({f"llama.{name}": u32(value)}), rf"llama\.{name} is {value}, must be")
        for value in values
    }


FILES: dict[str, tuple[GGUF, str]] = {
    # Counts and sizes.
    "no architecture": (llama().but(general__architecture=None), "does not say its architecture"),
    "empty architecture": (llama().but(general__architecture=string("")), "does not say its architecture"),
    "architecture is a number": (llama().but(general__architecture=u32(1)), "must be a short name, is 1"),
    "long architecture": (llama().but(general__architecture=string("a" * 65)), "must be a short name"),
    "NUL in the architecture": (llama().but(general__architecture=string("clip\0")), "must be a short name"),
    "NUL in the type": (llama().but(general__type=string("adapter\0")), "general.type must be a short name"),
    **out_of_range("block_count", 0, 513, BIG),
    **out_of_range("context_length", 0, 2**31, BIG),
    **out_of_range("embedding_length", 0, (1 << 20) + 1, BIG),
    **out_of_range("vocab_size", 0, BIG),
    **out_of_range("pooling_type", 5, BIG),
    **out_of_range("expert_count", 1_025, BIG),
    **out_of_range("attention.key_length", 0, 65_537, BIG),
    **out_of_range("attention.value_length", 0, BIG),
    **out_of_range("attention.sliding_window", 2**31),
    **out_of_range("rope.scaling.original_context_length", BIG),
    **out_of_range("full_attention_interval", 0),
    **out_of_range("ssm.conv_kernel", 0),
    **out_of_range("wkv.head_size", 0),
    **{
        f"no {name}": (llama().set({f"llama.{name}": None}), rf"llama\.{name} is missing")
        for name in ("block_count", "context_length", "embedding_length")
    },
    "block_count is an int32": (llama().but(llama__block_count=i32(1)), "must be a uint32, not int32"),
    "block_count is an array": (llama().but(llama__block_count=array(4, [1])), "must be a uint32, not array"),
    "more prediction layers than layers": (
        llama().but(llama__nextn_predict_layers=u32(2)),
        "nextn_predict_layers is 2, the model has 1 layers",
    ),
    "loops": (llama().but(llama__num_loops=u32(512), llama__block_count=u32(2)), "2 layers in 512 loops"),
    # Attention.
    "head_count 0": (llama().but(llama__attention__head_count=u32(0)), "attention.head_count is 0"),
    "head_count huge": (llama().but(llama__attention__head_count=u32(BIG)), "head_count is 4294967295, must"),
    "head_count over the width": (
        llama().but(llama__attention__head_count=u32(64)),
        "width 32 cannot be div",
    ),
    "head_count not dividing": (
        llama().but(llama__attention__head_count=u32(5)),
        "width 32 cannot be divided",
    ),
    "head_count array, wrong length": (
        llama().but(llama__attention__head_count=array(4, [4, 4])),
        "head_count must have one integer for each of the 1 layers",
    ),
    "head_count array, negative": (
        llama().but(llama__attention__head_count=array(5, [-4])),
        "head_count is -4, must be between",
    ),
    "head_count array of floats": (
        llama().but(llama__attention__head_count=array(6, [4.0])),
        "head_count must have one integer",
    ),
    "head_count array, huge": (
        llama().but(llama__attention__head_count=array(4, [4], 1 << 20)),
        "more than the .* bytes left|at most|head_count must have|has the unknown type|bytes long",
    ),
    "head_count_kv 0": (
        llama().but(llama__attention__head_count_kv=u32(0)),
        "4 attention heads cannot share 0",
    ),
    "head_count_kv not dividing": (
        llama().but(llama__attention__head_count_kv=u32(3)),
        r"4 attention heads cannot share 3 key-value heads \(layer 0\)",
    ),
    "head_count_kv over head_count": (llama().but(llama__attention__head_count_kv=u32(8)), "cannot share 8"),
    "key-value heads too large": (
        llama().set(
            {
                "llama.attention.head_count": u32(32_768),
                "llama.attention.head_count_kv": u32(32_768),
                "llama.attention.key_length": u32(65_536),
                "llama.attention.value_length": u32(65_536),
                "llama.rope.dimension_count": None,
            }
        ),
        "too large",
    ),
    "rope dimensions odd": (
        llama().but(llama__rope__dimension_count=u32(7)),
        "is 7, must be even and at most 8",
    ),
    "rope dimensions over the head": (
        llama().but(llama__rope__dimension_count=u32(10)),
        "is 10, must be even",
    ),
    # ggml_rope does not return; the engine's thread hangs.
    "rope dimensions 0": (qwen2().but(qwen2__rope__dimension_count=u32(0)), "rope.dimension_count is 0"),
    # Experts: load_hparams asserts each of these.
    "more experts in use than there are": (
        llama().but(llama__expert_count=u32(2), llama__expert_used_count=u32(3)),
        "llama uses 3 of 2 experts",
    ),
    "experts, none in use": (llama().but(llama__expert_count=u32(2)), "llama uses 0 of 2 experts"),
    "no experts, but some in use": (
        llama().but(llama__expert_used_count=u32(2)),
        "llama uses 2 of 0 experts",
    ),
    "as many groups as experts": (
        llama().but(
            llama__expert_count=u32(4), llama__expert_used_count=u32(2), llama__expert_group_count=u32(4)
        ),
        "llama has 4 groups of 4 experts",
    ),
    "groups that do not divide": (
        llama().but(
            llama__expert_count=u32(8),
            llama__expert_used_count=u32(2),
            llama__expert_group_count=u32(3),
            llama__expert_group_used_count=u32(1),
        ),
        "llama uses 1 of 3 groups of 8 experts",
    ),
    # Floats.
    **{
        f"{name} {value}": (llama().set({f"llama.{name}": f32(value)}), rf"llama\.{name} is {value}, must be")
        for name in ("attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.scaling.factor")
        for value in (math.nan, math.inf, -math.inf, -1.0)
    },
    "unknown rope scaling": (
        llama().but(llama__rope__scaling__type=string("x" * 99)),
        "is 'xxx.*', must be one",
    ),
    # Vocabulary.
    "no tokenizer": (llama().but(tokenizer__ggml__model=None), "it has no tokenizer"),
    # It loads, and aborts the process at the first text.
    "tokenizer none": (llama().but(tokenizer__ggml__model=string("none")), "it has no tokenizer"),
    "tokenizer no_vocab": (llama().but(tokenizer__ggml__model=string("no_vocab")), "it has no tokenizer"),
    "no tokens": (llama().but(tokenizer__ggml__tokens=None), "it has no tokens"),
    "tokens are empty": (llama().but(tokenizer__ggml__tokens=array(STRING, [])), "it has no tokens"),
    "tokens are numbers": (llama().but(tokenizer__ggml__tokens=array(4, [1])), "must be an array of string"),
    "tokens are no array": (llama().but(tokenizer__ggml__tokens=string("a")), "must be an array of string"),
    "fewer scores than tokens": (
        llama().but(tokenizer__ggml__scores=array(6, [0.0] * 262)),
        "it has 263 tokens, but tokenizer.ggml.scores has 262",
    ),
    "more scores than tokens": (
        llama().but(tokenizer__ggml__scores=array(6, [0.0] * 264)),
        "it has 263 tokens, but tokenizer.ggml.scores has 264",
    ),
    "fewer types than tokens": (
        llama().but(tokenizer__ggml__token_type=array(5, [1])),
        "it has 263 tokens, but tokenizer.ggml.token_type has 1",
    ),
    "types are bytes": (
        llama().but(tokenizer__ggml__token_type=array(1, [1] * 263)),
        "must be an array of int32",
    ),
    "no merges": (qwen2().but(tokenizer__ggml__merges=None), "its tokenizer is gpt2 and it has no merges"),
    "merges are numbers": (qwen2().but(tokenizer__ggml__merges=array(4, [1])), "must be an array of string"),
    "the same token twice": (
        with_vocabulary(["<unk>", "<s>", "</s>", "a", "a"]),
        "tokens 3 and 4 are the same",
    ),
    "the same token for C": (
        with_vocabulary(["<unk>", "<s>", "</s>", b"a\0x", b"a\0y"]),
        "tokens 3 and 4 are the same: b'a'",
    ),
    "a token named as an empty one": (
        with_vocabulary(["<unk>", "<s>", "</s>", "", "[EMPTY_3]"]),
        r"tokens 3 and 4 are the same: b'\[EMPTY_3\]'",
    ),
    "rows and tokens": (
        llama().with_tensor(0, shape=(32, 262)),
        "it has 263 tokens, but token_embd.weight has 262 rows",
    ),
    # tokenize() asserts that the token which it adds to every text exists.
    "bos outside, default outside": (
        with_vocabulary(["a"], tokenizer__ggml__bos_token_id=u32(1)),
        "adds the token bos to every text, but tokenizer.ggml.bos_token_id is 1, not one of its 1 tokens",
    ),
    "bos -1 added": (
        qwen2().set(
            {
                "tokenizer.ggml.add_bos_token": boolean(True),
                "tokenizer.ggml.bos_token_id": u32(BIG),
                **tokens(["h", "e"], scores=False),
            }
        ),
        "adds the token bos to every text, but tokenizer.ggml.bos_token_id is 4294967295",
    ),
    "eos outside, added": (
        with_vocabulary(
            ["a", "b"], tokenizer__ggml__eos_token_id=u32(2), tokenizer__ggml__add_eos_token=boolean(True)
        ),
        "adds the token eos to every text, but tokenizer.ggml.eos_token_id is 2",
    ),
    "bert without separator": (
        bert().but(tokenizer__ggml__seperator_token_id=u32(99)),
        "adds the token seperator to every text",
    ),
    "bert with byte tokens": (
        bert().but(tokenizer__ggml__token_type=array(5, [6] * 17)),
        "bert, which cannot have tokens of the type byte",
    ),
    # llm_tokenizer_plamo2 makes every suffix of every token.
    "plamo2 with a long token": (
        with_vocabulary(
            [*("\u3042" * 1_360 + f"{i:04}" for i in range(8)), "b"], tokenizer__ggml__model=string("plamo2")
        ),
        "tokens are too long",
    ),
    # naive_trie calls itself once per byte.
    "rwkv with a long token": (
        with_vocabulary(["a" * 70_000], tokenizer__ggml__model=string("rwkv")),
        "a token longer than 4096 bytes",
    ),
    "t5 with a long token": (
        with_vocabulary(["a" * 70_000, "b", "c"], tokenizer__ggml__model=string("t5")),
        "a token longer than 4096 bytes",
    ),
    # The tokenizer starts again at the first byte, for ever, and fills the memory.
    "rwkv without single bytes": (
        with_vocabulary(["He", "e", r"\x80", r"\xe3\x81"], tokenizer__ggml__model=string("rwkv")),
        "its tokenizer is rwkv and it has no token for the byte 72 alone",
    ),
    # find_bpe_rank asserts that no word has a space.
    "pre-tokenizer whitespace": (
        qwen2().but(tokenizer__ggml__pre=string("whitespace")),
        "its pre-tokenizer is whitespace and its tokenizer gpt2",
    ),
    # Tensors.
    **{
        f"weights of type {number}": (
            llama().with_tensor(3, type=number),
            "has the type .*, not one for weights",
        )
        for number in (26, 28)
    },
    "norm of a quantized type": (llama().with_tensor(1, type=8), "has one dimension and the type Q8_0"),
    # Architectures.
    "phimoe without heads": (
        of_architecture("phimoe").but(phimoe__attention__head_count=None),
        "phimoe.attention.head_count is missing or 0",
    ),
    "olmo2 with a layer of 0 heads": (
        of_architecture("olmo2").but(olmo2__attention__head_count=array(4, [0])),
        "olmo2.attention.head_count is missing or 0",
    ),
    "gemma2 of 46 layers without heads": (gemma2(46, heads=False), "gemma2.attention.head_count is missing"),
    **{
        f"{arch} without experts": (of_architecture(arch), "is a mixture of experts, but the file uses none")
        for arch in (
            *("bailingmoe2", "glm4moe", "grovemoe", "lfm2moe", "llada-moe", "qwen35moe", "qwen4exp"),
            "smallthinker",
        )
    },
    **{
        f"{arch} with 0 groups": (
            of_architecture(arch).set({f"{arch}.ssm.group_count": u32(0)}),
            "ssm.group_count is 0",
        )
        for arch in ("falcon-h1", "granitehybrid", "mamba2", "nemotron_h", "qwen35")
    },
    "ernie4_5-moe with an interval of 0": (
        of_architecture("ernie4_5-moe").set({"ernie4_5-moe.interleave_moe_layer_step": u32(0)}),
        "interleave_moe_layer_step is 0",
    ),
    **{
        f"{arch} with another inner size": (
            of_architecture(arch).set({f"{arch}.ssm.inner_size": u32(32)}),
            "ssm.inner_size is 32, must be 64",
        )
        for arch in ("granitehybrid", "jamba")
    },
    **{
        f"{arch} rotates all": (of_architecture(arch), "rotates 8 of the 8 numbers of a key")
        for arch in ("deepseek2", "mistral4")
    },
    "hy_v4 without latent attention": (of_architecture("hy_v4"), "key_length_mla and value_length_mla must"),
    **{
        f"{arch} without sections": (of_architecture(arch), "rope.dimension_sections is .*, must be parts of")
        for arch in ("paddleocr", "qwen2vl", "qwen3vl")
    },
    "sections too long": (
        of_architecture("qwen2vl").but(qwen2vl__rope__dimension_sections=array(5, [8, 8, 8, 8])),
        r"is \[8, 8, 8, 8\], must be parts of the 8 numbers",
    ),
    "negative section": (
        of_architecture("qwen2vl").but(qwen2vl__rope__dimension_sections=array(5, [4, -4, 1, 0])),
        r"is \[4, -4, 1, 0\]",
    ),
    "bailingmoe3 with a positive bound": (
        of_architecture("bailingmoe3").but(bailingmoe3__kda__gate_lower_bound=f32(0.5)),
        "kda.gate_lower_bound below 0",
    ),
    "gemma-embedding with another width": (
        of_architecture("gemma-embedding").set({"gemma-embedding.dense_2_feat_in": u32(4)}),
        "dense_2_feat_in is 4, must be 32",
    ),
    "glm5-next with 3 streams": (
        of_architecture("glm5-next").set({"glm5-next.hyper_connection.count": u32(3)}),
        "hyper_connection.count is 3, must be 4",
    ),
    "glm5-next without a pool": (
        of_architecture("glm5-next").set(
            {"glm5-next.attention.indexer.kpool": u32(0), "glm5-next.attention.indexer.top_k": u32(8)}
        ),
        "top_k is 8, no multiple of kpool, 0",
    ),
    "hrm_text with too few layers": (
        of_architecture("hrm_text")
        .set({f"hrm_text.hrm.{n}": u32(2) for n in ("layers_per_stack", "h_cycles")})
        .set({"hrm_text.hrm.l_cycles": u32(2)}),
        "hrm_text has 1 layers, its cycles need 12",
    ),
    "jina-bert-v2 with odd rows": (
        of_architecture("jina-bert-v2").but(**{"jina-bert-v2__feed_forward_length": u32(24)}),
        "ffn_up.weight has 32 rows, must be 24 or 48",
    ),
    "laguna with an odd gate": (
        GGUF(of_architecture("laguna").values, [*llama().tensors, Tensor("blk.0.attn_gate.weight", (32, 3))]),
        "attn_gate.weight has 3 rows, the layer 4 heads",
    ),
    "lfm2 with short values": (
        of_architecture("lfm2").but(lfm2__attention__value_length=u32(4)),
        "lfm2 has keys of 8 and values of 4 numbers",
    ),
    "nemotron_h_moe, experts of no width": (
        of_architecture("nemotron_h_moe").set(
            {
                "nemotron_h_moe.block_count": u32(2),
                "nemotron_h_moe.expert_count": u32(4),
                "nemotron_h_moe.expert_used_count": array(4, [2, 0]),
                "nemotron_h_moe.expert_feed_forward_length": array(4, [8, 0]),
            }
        ),
        "nemotron_h_moe has experts and uses none in layer 1",
    ),
    "rwkv6 without lerp": (of_architecture("rwkv6"), "'blk.0.time_mix_lerp_fused.weight' is missing"),
    "wavtokenizer with 7 blocks": (
        of_architecture("wavtokenizer-dec").set(
            {"wavtokenizer-dec.block_count": u32(8), "wavtokenizer-dec.posnet.block_count": u32(7)}
        ),
        "posnet.block_count must be at most 6",
    ),
    # A file may be many things at once, but not a part of itself.
    "part 3 of 2": (llama().but(split__no=scalar(2, 2), split__count=scalar(2, 2)), "it is part 3 of 2"),
    "split.count is an int32": (llama().but(split__count=i32(0)), "split.count must be a uint16, not int32"),
}


@pytest.mark.parametrize("name", FILES)
def test_hostile_value(name: str, tmp_path: Path) -> None:
    """Catches a value that llama.cpp asserts, divides by or follows for ever."""
    model, message = FILES[name]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(model.to_bytes())
    refused_with_little_memory(path, message, kind="model")


@pytest.mark.parametrize("name", MODELS)
def test_models_of_these_tests(name: str, tmp_path: Path) -> None:
    """Catches a table of refusals that proves nothing: its models are refused as they are."""
    path = tmp_path / "model.gguf"
    path.write_bytes(MODELS[name]().to_bytes())
    assert GGUFHeader.read(path, kind="model").architecture == name


def test_rwkv_takes_its_real_vocabulary(tmp_path: Path) -> None:
    """Catches the escapes of such a vocabulary being read otherwise than by llama.cpp."""
    items: list[bytes | str] = [
        "<s>",
        *(repr(bytes([i]))[2:-1] for i in range(256)),
        r"\n\n",
        r"\xe3\x81",
        "ab",
    ]
    path = tmp_path / "model.gguf"
    path.write_bytes(GGUF(with_vocabulary(items, tokenizer__ggml__model=string("rwkv")).values).to_bytes())
    assert GGUFHeader.read(path, kind="vocabulary").vocabulary_size == 260


def test_plamo2_takes_its_real_lengths(tmp_path: Path) -> None:
    """Catches a limit for long tokens that real vocabularies exceed."""
    path = tmp_path / "model.gguf"
    items: list[bytes | str] = [f"{i}" * 4 for i in range(20_000)]
    model = with_vocabulary(items, tokenizer__ggml__model=string("plamo2"))
    path.write_bytes(GGUF(model.values).to_bytes())
    assert GGUFHeader.read(path, kind="vocabulary").vocabulary_size == 20_000


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("embedding_length", 1, 1 << 20), ("patch_size", 1, 65_536), ("attention.head_count", 1, 65_536)],
)
def test_projector_sizes(name: str, low: int, high: int, tmp_path: Path) -> None:
    """Catches a projector whose sizes divide by zero or fill the memory."""
    path = tmp_path / "mmproj.gguf"
    values: dict[Any, Value] = {"general.architecture": string("clip"), "general.type": string("mmproj")}
    for value in (low - 1, high + 1, BIG):
        path.write_bytes(GGUF({**values, f"clip.vision.{name}": u32(value)}).to_bytes())
        refused(path, rf"clip\.vision\.{name} is {value}, must be between {low} and {high}", kind="projector")
    path.write_bytes(GGUF({**values, f"clip.vision.{name}": u32(high)}).to_bytes())
    assert GGUFHeader.read(path, kind="projector").kind == "projector"
