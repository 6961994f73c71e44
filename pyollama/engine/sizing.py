"""How large a context, how many requests at once, how many threads: what nobody gave is decided here."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import psutil

from pyollama.engine.options import LoadOptions
from pyollama.errors import ModelLoadError
from pyollama.gguf import GGUFArray, GGUFHeader

__all__ = ["available_memory", "context_length", "kv_bytes_per_token", "parallel_requests", "thread_count"]

log = logging.getLogger("pyollama")

DEFAULT_CONTEXT = 4096
MAX_PARALLEL = 8
# A cache is cleared when it is made, and touching fresh memory takes about a second per 250 MiB: with more than
# this, loading a model would be felt.
COMFORTABLE_CACHE = 512 << 20
# Bytes of one number, by kv_cache_type; quantized types store blocks of 32 with a scale.
BYTES_PER_NUMBER = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_0": 22 / 32,
    "q5_1": 24 / 32,
    "q4_0": 18 / 32,
    "q4_1": 20 / 32,
    "iq4_nl": 18 / 32,
}


def thread_count(requested: int) -> int:
    """Threads that compute: as requested, else one for each physical core that this process may use.

    More than two for each processor are not used: they wait for each other at every operation, and a step takes
    minutes.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if requested > 2 * allowed:
        log.warning("num_thread %d is too much for %d processors; using %d", requested, allowed, 2 * allowed)
    if requested > 0:
        return min(requested, 2 * allowed)
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def context_length(header: GGUFHeader, options: LoadOptions) -> int:
    """Tokens of context for one request.

    The model's own limit holds unless the options stretch its rotary positions: beyond it a model talks nonsense,
    and one with a table of positions would be read past its end.
    """
    trained = header.context_length
    wanted = options.num_ctx or min(DEFAULT_CONTEXT, trained or DEFAULT_CONTEXT)
    if not trained or wanted <= trained:
        return wanted
    has_table = any(tensor.name == "position_embd.weight" for tensor in header.tensors)
    if not has_table and (options.rope_frequency_base or options.rope_frequency_scale):
        return wanted
    log.warning("num_ctx %d is more than %s was trained for; using %d", wanted, header.path, trained)
    return trained


def kv_bytes_per_token(header: GGUFHeader, cache_type: str) -> int:
    """Bytes that one token takes in the cache; 0 where the header does not tell.

    Layers with a sliding window or a recurrent state need less, so this is an upper bound.
    """
    layers = header.block_count
    heads = _per_layer(header, "attention.head_count", layers)
    kv_heads = _per_layer(header, "attention.head_count_kv", layers) or heads
    if not heads or not header.embedding_length:
        return 0
    width = header.embedding_length // max(heads)
    key = header.number("attention.key_length") or width
    value = header.number("attention.value_length") or width
    return int(sum(kv_heads) * (key + value) * BYTES_PER_NUMBER[cache_type])


def _per_layer(header: GGUFHeader, key: str, layers: int) -> list[int]:
    value = header.get(key)
    if isinstance(value, GGUFArray):
        return [int(number) for number in header.array(f"{header.architecture}.{key}")]
    return [value] * layers if isinstance(value, int) and value > 0 else []


def available_memory() -> int:
    """Bytes of main memory that this process may still take, a container's limit included."""
    available = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except OSError:  # no control groups of the second version here: no limit from them either
        return available
    if not limit.isdecimal():
        return available
    used -= int(stat.get("inactive_file", 0))  # cached files, such as the model just read, make way
    return min(available, max(0, int(limit) - used))


def parallel_requests(header: GGUFHeader, options: LoadOptions, n_ctx: int, free_bytes: int) -> int:
    """Requests that run at the same time: as given, else the most up to 8 whose cache fits comfortably.

    Args:
        n_ctx: Tokens of context of each.
        free_bytes: Memory that is free once the model is loaded, on the device that holds the cache.

    Raises:
        ModelLoadError: What was given does not fit.
    """
    each = kv_bytes_per_token(header, options.kv_cache_type) * n_ctx
    if options.num_parallel:
        needed = each * options.num_parallel
        if needed > free_bytes:
            # The cache is written when it is made: without this the system would end the process.
            raise ModelLoadError(
                f"num_ctx {n_ctx} for {options.num_parallel} requests needs {needed >> 20} MiB for the cache, "
                f"{free_bytes >> 20} MiB are free: give a smaller num_ctx or num_parallel"
            )
        return options.num_parallel
    if each > free_bytes:
        raise ModelLoadError(
            f"num_ctx {n_ctx} needs {each >> 20} MiB for the cache, {free_bytes >> 20} MiB are free: give a smaller one"
        )
    if each == 0:
        return 1
    return max(1, min(MAX_PARALLEL, min(COMFORTABLE_CACHE, free_bytes // 2) // each))
