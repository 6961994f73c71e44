"""What a GGUF header may not say, because llama.cpp would abort, divide by zero or allocate without end.

What llama.cpp refuses by itself with a clean error is mostly left to it: it knows its architectures better.
The rules were read in its llama-model.cpp (`load_hparams`), llama-vocab.cpp (`load`, `tokenize`),
llama-context.cpp and ggml.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pyollama.gguf.architectures import check_architecture
from pyollama.gguf.types import GGUFArray
from pyollama.gguf.values import per_layer, shown, uint32
from pyollama.gguf.vocabulary import MAX_TOKENS, check_vocabulary

if TYPE_CHECKING:
    from pyollama.gguf.header import GGUFHeader

__all__ = ["POOLING_TYPES", "check"]

INT32_MAX = 2**31 - 1
MAX_LAYERS = 512  # LLAMA_MAX_LAYERS: arrays of this size hold the values of layers
MAX_EXPERTS = 1_024  # LLAMA_MAX_EXPERTS
MAX_WIDTH = 1 << 20

POOLING_TYPES = ("none", "mean", "cls", "last", "rank")
ROPE_SCALING_TYPES = ("none", "linear", "yarn", "longrope")
# Architectures without attention: their files say 0 heads.
RECURRENT = ("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7")
# Architectures that need no rotation: their files may say 0.
WITHOUT_POSITIONS = (*RECURRENT, "kimi-linear", "kimi-k3")

# Single numbers: the smallest and the largest that a file may give.
RANGES: dict[str, tuple[int, int]] = {
    "context_length": (1, INT32_MAX),
    "embedding_length": (1, MAX_WIDTH),
    "embedding_length_out": (1, MAX_WIDTH),
    "block_count": (1, MAX_LAYERS),
    "nextn_predict_layers": (0, MAX_LAYERS),
    "vocab_size": (1, MAX_TOKENS),
    "expert_count": (0, MAX_EXPERTS),
    "expert_group_count": (0, MAX_EXPERTS),
    "expert_group_used_count": (0, MAX_EXPERTS),
    "experts_per_group": (1, MAX_EXPERTS),
    "pooling_type": (0, len(POOLING_TYPES) - 1),
    "classifier.pooling_type": (0, len(POOLING_TYPES) - 1),
    "attention.key_length": (1, 65_536),
    "attention.value_length": (1, 65_536),
    "attention.key_length_swa": (1, 65_536),
    "attention.value_length_swa": (1, 65_536),
    "attention.key_length_mla": (1, 65_536),
    "attention.value_length_mla": (1, 65_536),
    "attention.sliding_window": (0, INT32_MAX),
    "attention.indexer.block_size": (1, 65_536),
    "rope.dimension_count": (0, 65_536),
    "rope.dimension_count_swa": (0, 65_536),
    "rope.scaling.original_context_length": (0, INT32_MAX),
    # Layers are taken modulo this one.
    "full_attention_interval": (1, INT32_MAX),
    "ssm.conv_kernel": (1, 65_536),
    "ssm.inner_size": (1, MAX_WIDTH),
    "ssm.state_size": (1, 65_536),
    "ssm.time_step_rank": (1, 65_536),
    "ssm.group_count": (0, 65_536),
    "wkv.head_size": (1, 65_536),
    "shortconv.l_cache": (1, 65_536),
    "hrm.layers_per_stack": (1, MAX_LAYERS),
    "hrm.h_cycles": (1, MAX_LAYERS),
    "hrm.l_cycles": (1, MAX_LAYERS),
    "num_loops": (1, MAX_LAYERS),
    "posnet.block_count": (0, MAX_LAYERS),
    "convnext.block_count": (0, MAX_LAYERS),
}

# One number, or an array with a number for each layer.
PER_LAYER: dict[str, int] = {
    "attention.head_count": 65_536,
    "attention.head_count_kv": 65_536,
    "feed_forward_length": 1 << 26,
    "expert_used_count": MAX_EXPERTS,
}

# Of a vision or audio encoder, below clip.vision and clip.audio: divisors and sizes of buffers.
ENCODER: dict[str, tuple[int, int]] = {
    "embedding_length": (1, MAX_WIDTH),
    "feed_forward_length": (1, 1 << 26),
    "block_count": (0, MAX_LAYERS),
    "attention.head_count": (1, 65_536),
    "attention.head_count_kv": (1, 65_536),
    "image_size": (1, 65_536),
    "patch_size": (1, 65_536),
    "spatial_merge_size": (1, 4_096),
    "projector.scale_factor": (1, 4_096),
    "projector.stack_factor": (1, 4_096),
    "num_mel_bins": (1, 65_536),
}


def check(header: GGUFHeader) -> None:
    """Refuse a header that native code would not survive.

    Raises:
        InvalidModelFile: It says something that cannot be, or that cannot be loaded.
    """
    _check_names(header)
    if header.kind == "projector":
        _check_encoders(header)
    elif header.kind in ("model", "vocabulary") and not _is_later_part(header):
        if not header.architecture:
            raise header.error("it does not say its architecture (general.architecture)")
        _check_ranges(header)
        _check_layers(header)
        _check_attention(header)
        _check_experts(header)
        _check_floats(header)
        check_vocabulary(header)
        _check_tensors(header)
        if header.kind == "model":
            check_architecture(header)


def _is_later_part(header: GGUFHeader) -> bool:
    """Only the first part of a split model has metadata."""
    return header.split is not None and header.split.no > 0


def _check_names(header: GGUFHeader) -> None:
    """Text that decides how the file is read must be what C sees too, which stops at a NUL."""
    for key in ("general.architecture", "general.type", "tokenizer.ggml.model", "tokenizer.ggml.pre"):
        value = header.values.get(key, "")
        if not isinstance(value, str) or len(value) > 64 or not value.isascii() or not value.isprintable():
            raise header.error(f"{key} must be a short name, is {shown(value)}")
    for key in ("split.no", "split.count"):
        # gguf_get_val_u16 aborts on any other type.
        if header.types.get(key, "uint16") != "uint16":
            raise header.error(f"{key} must be a uint16, not {header.types[key]}")
    split = header.split
    if split is not None and split.count > 1 and split.no >= split.count:
        raise header.error(f"it is part {split.no + 1} of {split.count} parts")


def _check_range(header: GGUFHeader, key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise header.error(f"{key} is {value}, must be between {low} and {high}")


def _check_ranges(header: GGUFHeader) -> None:
    for name, (low, high) in RANGES.items():
        value = uint32(header, name)
        if value is not None:
            _check_range(header, f"{header.architecture}.{name}", value, low, high)
    for name, high in PER_LAYER.items():
        for value in per_layer(header, name) or ():
            _check_range(header, f"{header.architecture}.{name}", value, 0, high)
    if header.kind == "model":
        for name in ("context_length", "embedding_length", "block_count"):
            if uint32(header, name) is None:
                raise header.error(f"{header.architecture}.{name} is missing")


def _check_layers(header: GGUFHeader) -> None:
    n_layers = uint32(header, "block_count") or 0
    for name in ("nextn_predict_layers", "posnet.block_count", "convnext.block_count"):
        value = uint32(header, name)
        if value is not None and value > n_layers:
            raise header.error(f"{header.architecture}.{name} is {value}, the model has {n_layers} layers")
    loops = uint32(header, "num_loops") or 1
    if n_layers * loops > MAX_LAYERS:
        raise header.error(f"{n_layers} layers in {loops} loops are more than {MAX_LAYERS}")


def _check_attention(header: GGUFHeader) -> None:
    arch = header.architecture
    heads = per_layer(header, "attention.head_count")
    if heads is None:
        return
    width = uint32(header, "embedding_length") or 0
    kv_heads = per_layer(header, "attention.head_count_kv") or heads
    varies = isinstance(header.values[f"{arch}.attention.head_count"], GGUFArray)
    varies_kv = isinstance(header.values.get(f"{arch}.attention.head_count_kv"), GGUFArray)
    if heads[0] == 0:
        if not varies and arch not in RECURRENT:
            raise header.error(f"{arch}.attention.head_count is 0")
        return
    key_length = uint32(header, "attention.key_length")
    value_length = uint32(header, "attention.value_length")
    if (key_length is None or value_length is None) and width:
        if width < heads[0] or (width % heads[0] and not varies):
            raise header.error(f"the width {width} cannot be divided among {heads[0]} attention heads")
        key_length = key_length or width // heads[0]
        value_length = value_length or width // heads[0]
    for layer, (n_heads, n_kv) in enumerate(zip(heads, kv_heads, strict=True)):
        # Layers without attention say 0, but only where each layer has its own number.
        if (n_kv == 0 and not varies_kv and not varies) or (n_kv and n_heads % n_kv):
            raise header.error(
                f"{n_heads} attention heads cannot share {n_kv} key-value heads (layer {layer})"
            )
        if n_kv * max(key_length or 1, value_length or 1) > 1 << 24:
            raise header.error(f"the key-value heads of layer {layer} are {n_kv} x {key_length}: too large")
    # ggml_rope asserts an even number that fits the head, and does not return from 0.
    for name, length_name in (("", ""), ("_swa", "_swa")):
        rotated = uint32(header, f"rope.dimension_count{name}")
        length = uint32(header, f"attention.key_length{length_name}") or key_length
        if rotated == 0 and arch not in WITHOUT_POSITIONS:
            raise header.error(f"{arch}.rope.dimension_count{name} is 0")
        if rotated is not None and (rotated % 2 or (length and rotated > length)):
            raise header.error(
                f"{arch}.rope.dimension_count{name} is {rotated}, must be even and at most {length}"
            )


def _check_experts(header: GGUFHeader) -> None:
    """load_hparams asserts all of this."""
    arch = header.architecture
    experts = uint32(header, "expert_count") or 0
    used = max(per_layer(header, "expert_used_count") or [0])
    groups = uint32(header, "expert_group_count") or 0
    if arch in ("hunyuan_vl", "hunyuan-dense") and experts <= 1:
        experts = used = 0
    if used > experts or (experts and not used):
        raise header.error(f"{arch} uses {used} of {experts} experts")
    if groups and groups >= experts:
        raise header.error(f"{arch} has {groups} groups of {experts} experts")
    if groups > 1:
        used_groups = uint32(header, "expert_group_used_count") or 0
        if experts % groups or not 0 < used_groups < groups:
            raise header.error(f"{arch} uses {used_groups} of {groups} groups of {experts} experts")


def _check_floats(header: GGUFHeader) -> None:
    arch = header.architecture
    scaling = header.get("rope.scaling.type", "linear")
    if scaling not in ROPE_SCALING_TYPES:
        raise header.error(
            f"{arch}.rope.scaling.type is {shown(scaling)}, must be one of {ROPE_SCALING_TYPES}"
        )
    for name in (
        # ggml_norm and ggml_rms_norm assert eps >= 0.
        "attention.layer_norm_epsilon",
        "attention.layer_norm_rms_epsilon",
        "attention.group_norm_epsilon",
        "rope.freq_base",
        "rope.freq_base_swa",
        "rope.scaling.factor",
        "rope.scale_linear",
    ):
        value = header.get(name)
        if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
            raise header.error(f"{arch}.{name} is {value}, must be a number from 0 up")


def _check_tensors(header: GGUFHeader) -> None:
    tokens = header.values.get("tokenizer.ggml.tokens")
    for tensor in header.tensors:
        if tensor.name == "token_embd.weight" and isinstance(tokens, GGUFArray):
            rows = tensor.shape[1] if len(tensor.shape) > 1 else 1
            if rows != tokens.length:
                raise header.error(f"it has {tokens.length} tokens, but token_embd.weight has {rows} rows")
        # No multiplication is defined for these; the CPU would call a null function.
        matrix = len(tensor.shape) > 1 and tensor.name.endswith(".weight")
        if matrix and not tensor.type.weights and "tid2eid" not in tensor.name:
            raise header.error(
                f"the tensor {tensor.name!r} has the type {tensor.type.name}, not one for weights"
            )
        # Norms and biases are added or multiplied number by number, which aborts on blocks.
        if len(tensor.shape) <= 1 and tensor.type.is_quantized:
            raise header.error(
                f"the tensor {tensor.name!r} has one dimension and the type {tensor.type.name}"
            )


def _check_encoders(header: GGUFHeader) -> None:
    for encoder in ("vision", "audio"):
        for name, (low, high) in ENCODER.items():
            key = f"clip.{encoder}.{name}"
            value = header.values.get(key)
            if isinstance(value, int) and not isinstance(value, bool):
                _check_range(header, key, value, low, high)
