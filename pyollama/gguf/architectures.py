"""What single architectures ask of a header.

llama.cpp asserts it, or divides by it, in the ``load_arch_hparams`` and ``load_arch_tensors`` of each model
(``src/models/*.cpp``). What such a function refuses with an exception is left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyollama.gguf.types import GGUFArray
from pyollama.gguf.values import per_layer, uint32

if TYPE_CHECKING:
    from pyollama.gguf.header import GGUFHeader

__all__ = ["check_architecture"]

# These divide by the number of experts in use, or assert that there are some.
WITH_EXPERTS = (
    *("bailingmoe2", "glm4moe", "grovemoe", "lfm2moe", "llada-moe", "qwen35moe", "qwen4exp"),
    "smallthinker",
)
# These divide by the number of heads.
WITH_HEADS = ("gemma2", "gemma3", "olmo2", "phimoe")
# Numbers that are divisors. Only plamo2 says 0 groups, and does not use the number.
DIVISORS: dict[str, tuple[str, ...]] = {
    "deepseek4": ("attention.output_group_count",),
    "dflash": ("attention.output_group_count",),
    "ernie4_5-moe": ("interleave_moe_layer_step",),
    **dict.fromkeys(("falcon-h1", "granitehybrid", "mamba2", "nemotron_h"), ("ssm.group_count",)),
    **dict.fromkeys(("nemotron_h_moe", "qwen3next", "qwen35", "qwen35moe"), ("ssm.group_count",)),
}
# The inner width of the state space is twice the width of the model.
DOUBLE_INNER = ("granitehybrid", "jamba")
# Heads of which only a part is rotated, and not all of it.
PARTLY_ROTATED = ("deepseek2", "hy_v4", "mistral4")
# ggml_rope_multi, in a thread that computes, asserts that one of the first three sections is used.
SECTIONED = ("paddleocr", "qwen2vl", "qwen3tts", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen4exp")


def check_architecture(header: GGUFHeader) -> None:
    """Refuse what the architecture of a model does not survive.

    Raises:
        InvalidModelFile: A number that it needs is 0 or missing, or two do not fit each other.
    """
    arch = header.architecture
    if arch in WITH_EXPERTS:
        used = per_layer(header, "expert_used_count") or [0]
        if not uint32(header, "expert_count") or not used[0]:
            raise header.error(f"{arch} is a mixture of experts, but the file uses none")
    if arch in WITH_HEADS and not (per_layer(header, "attention.head_count") or [0])[0]:
        raise header.error(f"{arch}.attention.head_count is missing or 0")
    for name in DIVISORS.get(arch, ()):
        if uint32(header, name) == 0:
            raise header.error(f"{arch}.{name} is 0")
    if arch in DOUBLE_INNER:
        _check_equal(header, "ssm.inner_size", 2 * (uint32(header, "embedding_length") or 0))
    if arch in PARTLY_ROTATED:
        _check_partly_rotated(header)
    _check_sections(header)
    special = SPECIAL.get(arch)
    if special is not None:
        special(header)


def _check_equal(header: GGUFHeader, name: str, wanted: int) -> None:
    value = uint32(header, name)
    if value is not None and value != wanted:
        raise header.error(f"{header.architecture}.{name} is {value}, must be {wanted}")


def _head_length(header: GGUFHeader) -> int:
    """Numbers of one key, 0 where there is no attention."""
    heads = per_layer(header, "attention.head_count") or [0]
    if not heads[0]:
        return 0
    given = uint32(header, "attention.key_length")
    return (uint32(header, "embedding_length") or 0) // heads[0] if given is None else given


def _check_partly_rotated(header: GGUFHeader) -> None:
    key_length, value_length = (uint32(header, f"attention.{name}_length_mla") for name in ("key", "value"))
    if header.architecture == "hy_v4" and not (key_length and value_length):
        raise header.error("hy_v4.attention.key_length_mla and value_length_mla must be given")
    head = _head_length(header)
    whole = key_length if key_length and value_length else head
    rotated = uint32(header, "rope.dimension_count")
    rotated = head if rotated is None else rotated
    if rotated >= whole:
        raise header.error(
            f"{header.architecture} rotates {rotated} of the {whole} numbers of a key, must be a part"
        )


def _check_sections(header: GGUFHeader) -> None:
    key = f"{header.architecture}.rope.dimension_sections"
    value = header.values.get(key)
    sections = [0, 0, 0, 0]
    if isinstance(value, GGUFArray) and value.type in ("int32", "uint32") and value.length <= 4:
        sections = header.array(key)
    elif isinstance(value, int):
        sections = [value] * 4
    head = _head_length(header)
    needed = header.architecture in SECTIONED
    if min(sections, default=0) < 0 or sum(sections) > head or (needed and not any(sections[:3])):
        raise header.error(f"{key} is {sections}, must be parts of the {head} numbers of a key")


def _check_bailingmoe3(header: GGUFHeader) -> None:
    bound = header.get("kda.gate_lower_bound", -1.0)
    if header.get("kda.safe_gate", True) is not True or (isinstance(bound, float) and not bound < 0):
        raise header.error("bailingmoe3 needs kda.safe_gate and a kda.gate_lower_bound below 0")


def _check_dflash(header: GGUFHeader) -> None:
    if uint32(header, "hyper_connection.count") and uint32(header, "attention.sliding_window") == 0:
        raise header.error("dflash.attention.sliding_window is 0")


def _check_gemma_embedding(header: GGUFHeader) -> None:
    width = uint32(header, "embedding_length") or 0
    for name in ("dense_2_feat_in", "dense_3_feat_out"):
        if uint32(header, name):
            _check_equal(header, name, width)


def _check_glm5_next(header: GGUFHeader) -> None:
    pool, top = (uint32(header, f"attention.indexer.{name}") for name in ("kpool", "top_k"))
    if pool is not None and top is not None and (pool < 2 or top % pool):
        raise header.error(f"glm5-next.attention.indexer.top_k is {top}, no multiple of kpool, {pool}")
    _check_equal(header, "hyper_connection.count", 4)


def _check_hrm_text(header: GGUFHeader) -> None:
    stack, high, low = (
        uint32(header, f"hrm.{name}") for name in ("layers_per_stack", "h_cycles", "l_cycles")
    )
    layers = (uint32(header, "block_count") or 0) - (uint32(header, "nextn_predict_layers") or 0)
    if stack and high and low and stack * high * (low + 1) != layers:
        raise header.error(f"hrm_text has {layers} layers, its cycles need {stack * high * (low + 1)}")


def _check_jina_bert_v2(header: GGUFHeader) -> None:
    hidden = (per_layer(header, "feed_forward_length") or [0])[0]
    for tensor in header.tensors:
        if tensor.name.startswith("blk.") and tensor.name.endswith(".ffn_up.weight"):
            rows = tensor.shape[1] if len(tensor.shape) > 1 else 1
            if rows not in (hidden, 2 * hidden):
                raise header.error(f"{tensor.name} has {rows} rows, must be {hidden} or {2 * hidden}")


def _check_laguna(header: GGUFHeader) -> None:
    heads = per_layer(header, "attention.head_count") or []
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    for layer, n_heads in enumerate(heads):
        shape = shapes.get(f"blk.{layer}.attn_gate.weight")
        if shape is None:
            continue
        rows = shape[1] if len(shape) > 1 else 1
        if rows not in (n_heads, n_heads * _head_length(header)):
            raise header.error(f"blk.{layer}.attn_gate.weight has {rows} rows, the layer {n_heads} heads")


def _check_lfm2(header: GGUFHeader) -> None:
    """Keys and values have the same length."""
    head = _head_length(header)
    given = uint32(header, "attention.value_length")
    heads = (per_layer(header, "attention.head_count") or [0])[0]
    value_length = (uint32(header, "embedding_length") or 0) // heads if given is None and heads else given
    if heads and value_length != head:
        raise header.error(f"{header.architecture} has keys of {head} and values of {value_length} numbers")


def _check_nemotron_h(header: GGUFHeader) -> None:
    """load_arch_tensors divides by the experts in use of each layer that says no width for them."""
    if not uint32(header, "expert_count"):
        return
    n_layers = uint32(header, "block_count") or 1
    used = per_layer(header, "expert_used_count") or [0] * n_layers
    width = per_layer(header, "expert_feed_forward_length") or [0] * n_layers
    hidden = per_layer(header, "feed_forward_length") or [0] * n_layers
    for layer, numbers in enumerate(zip(hidden, used, width, strict=True)):
        if numbers[0] and not numbers[1] and not numbers[2]:
            raise header.error(f"{header.architecture} has experts and uses none in layer {layer}")


def _check_rwkv6(header: GGUFHeader) -> None:
    if header.split is not None and header.split.count > 1:
        return  # the tensors are in other parts too
    names = {tensor.name for tensor in header.tensors}
    for layer in range(uint32(header, "block_count") or 0):
        if not {f"blk.{layer}.time_mix_lerp_{kind}.weight" for kind in ("fused", "w")} & names:
            raise header.error(f"the tensor 'blk.{layer}.time_mix_lerp_fused.weight' is missing")


def _check_wavtokenizer(header: GGUFHeader) -> None:
    if (uint32(header, "posnet.block_count") or 0) > 6:
        raise header.error("wavtokenizer-dec.posnet.block_count must be at most 6")
    width = uint32(header, "convnext.embedding_length")
    if width is not None:
        _check_equal(header, "posnet.embedding_length", width)


SPECIAL = {
    "bailingmoe3": _check_bailingmoe3,
    "dflash": _check_dflash,
    "gemma-embedding": _check_gemma_embedding,
    "glm5-next": _check_glm5_next,
    "hrm_text": _check_hrm_text,
    "jina-bert-v2": _check_jina_bert_v2,
    "laguna": _check_laguna,
    "lfm2": _check_lfm2,
    "lfm2moe": _check_lfm2,
    "nemotron_h": _check_nemotron_h,
    "nemotron_h_moe": _check_nemotron_h,
    "rwkv6": _check_rwkv6,
    "wavtokenizer-dec": _check_wavtokenizer,
}
