"""What a vocabulary in a GGUF header may not be: read in llama.cpp's ``llama-vocab.cpp``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyollama.gguf.types import GGUFArray

if TYPE_CHECKING:
    from pyollama.gguf.header import GGUFHeader

__all__ = ["MAX_TOKENS", "check_vocabulary"]

MAX_TOKENS = 1 << 22
MAX_TOKEN_LENGTH = 4_096  # the longest real ones have some hundred
MAX_SUFFIXES = 1 << 26  # bytes; those of the real vocabulary have a tenth of it

# Special tokens that a tokenizer has when the file names none, and which of them it adds by itself.
DEFAULT_TOKENS: dict[str, dict[str, int | None]] = {
    "llama": {"bos": 1, "eos": 2},
    "bert": {"bos": 101, "seperator": 102},
    "gpt2": {"bos": 11, "eos": 11},
    "t5": {"bos": None, "eos": 1},
    "gemma4": {"bos": None, "eos": None},
}
ADDED_TOKENS: dict[str, tuple[str, ...]] = {
    "llama": ("bos",),
    "bert": ("bos", "seperator"),
    "gpt2": (),
    "t5": ("eos",),
    "gemma4": ("bos",),
}
BPE_WITH_BOS = (
    *(
        "llama3",
        "llama-v3",
        "llama-bpe",
        "falcon3",
        "falcon-h1",
        "pixtral",
        "midm-2.0",
        "lfm2",
        "jina-v5-nano",
    ),
    *("tekken", "chameleon"),
)
BYTE_TOKEN = 6


def check_vocabulary(header: GGUFHeader) -> None:
    """Refuse a vocabulary that does not load, or that fails at some text.

    Raises:
        InvalidModelFile: It has none, its arrays do not fit each other, or its tokenizer cannot work with it.
    """
    model = header.text("tokenizer.ggml.model")
    if model in ("", "none", "no_vocab"):
        # tokenize() aborts.
        raise header.error("it has no tokenizer (tokenizer.ggml.model)")
    tokens = _vocabulary_array(header, "tokens", ("string",))
    if tokens is None or tokens.length == 0:
        raise header.error("it has no tokens (tokenizer.ggml.tokens)")
    if tokens.length > MAX_TOKENS:
        raise header.error(f"it has {tokens.length} tokens, at most {MAX_TOKENS} are possible")
    scores = _vocabulary_array(header, "scores", ("float32", "int32"))
    types = _vocabulary_array(header, "token_type", ("int32",))
    for name, array in (("scores", scores), ("token_type", types)):
        if array is not None and array.length != tokens.length:
            raise header.error(f"it has {tokens.length} tokens, but tokenizer.ggml.{name} has {array.length}")
    merges = _vocabulary_array(header, "merges", ("string",))
    if model in ("gpt2", "gemma4") and merges is None and header.text("tokenizer.ggml.pre") != "kimi-k2":
        raise header.error(f"its tokenizer is {model} and it has no merges (tokenizer.ggml.merges)")
    texts = header.raw_strings("tokenizer.ggml.tokens")
    _check_unique(header, texts)
    # naive_trie, in rwkv and t5, calls itself once per character until the stack ends.
    if max(map(len, texts)) > MAX_TOKEN_LENGTH:
        raise header.error(f"it has a token longer than {MAX_TOKEN_LENGTH} bytes")
    # find_bpe_rank asserts that words have no spaces, which only this tokenizer takes out of them.
    if header.text("tokenizer.ggml.pre") == "whitespace" and model != "whitespace":
        raise header.error(f"its pre-tokenizer is whitespace and its tokenizer {model}")
    # llm_tokenizer_plamo2 makes all suffixes of each token, character by character.
    if model == "plamo2" and sum(len(text) ** 2 for text in texts) > MAX_SUFFIXES:
        raise header.error("its tokenizer is plamo2 and its tokens are too long for it")
    if model == "rwkv":
        _check_single_bytes(header, texts)
    if model == "bert" and types is not None and BYTE_TOKEN in header.array("tokenizer.ggml.token_type"):
        # token_to_byte aborts for a vocabulary of word pieces.
        raise header.error("its tokenizer is bert, which cannot have tokens of the type byte")
    _check_added_tokens(header, model, tokens.length)


def _vocabulary_array(header: GGUFHeader, name: str, types: tuple[str, ...]) -> GGUFArray | None:
    key = f"tokenizer.ggml.{name}"
    value = header.values.get(key)
    if value is None:
        return None
    if not isinstance(value, GGUFArray) or value.type not in types:
        raise header.error(f"{key} must be an array of {' or '.join(types)}")
    return value


def _check_unique(header: GGUFHeader, tokens: list[bytes]) -> None:
    """Tokens of the same text fail an assertion. As in C, a text ends at a NUL; an empty one gets a name."""
    texts = set(tokens)
    if len(texts) == len(tokens) and b"" not in texts and not any(b"\0" in text for text in texts):
        return
    seen: dict[bytes, int] = {}
    for index, token in enumerate(tokens):
        text = token.partition(b"\0")[0] or b"[EMPTY_%d]" % index
        if text in seen:
            raise header.error(f"its tokens {seen[text]} and {index} are the same: {text[:40]!r}")
        seen[text] = index


def _check_added_tokens(header: GGUFHeader, model: str, n_tokens: int) -> None:
    """A token that is added to every prompt must exist: tokenize() asserts it."""
    if model not in DEFAULT_TOKENS:
        return
    added = set(ADDED_TOKENS[model])
    if model == "gpt2" and header.text("tokenizer.ggml.pre") in BPE_WITH_BOS:
        added.add("bos")
    for name in ("bos", "eos"):
        wanted = header.get(f"tokenizer.ggml.add_{name}_token")
        if isinstance(wanted, bool) and model not in ("bert", "gemma4"):
            added = added | {name} if wanted else added - {name}
    for name in sorted(added):
        given = header.get(f"tokenizer.ggml.{name}_token_id")
        default = DEFAULT_TOKENS[model].get(name)
        known = [token for token in (given, default) if isinstance(token, int) and 0 <= token < n_tokens]
        if not known:
            raise header.error(
                f"its tokenizer adds the token {name} to every text, but tokenizer.ggml.{name}_token_id is "
                f"{given}, not one of its {n_tokens} tokens"
            )


def _check_single_bytes(header: GGUFHeader, tokens: list[bytes]) -> None:
    """llm_tokenizer_rwkv_session starts again, for ever, after a first byte that is no token by itself."""
    firsts: set[int] = set()
    singles: set[int] = set()
    for token in tokens:
        first, rest = _rwkv_begin(token.partition(b"\0")[0])
        if first is not None:
            (firsts if rest else singles).add(first)
    if not firsts <= singles:
        missing = min(firsts - singles)
        raise header.error(f"its tokenizer is rwkv and it has no token for the byte {missing} alone")


def _rwkv_begin(token: bytes) -> tuple[int | None, bytes]:
    """The first byte of a token, as llama_unescape_rwkv_token reads it, and what stands behind it."""
    if not token.startswith(b"\\"):
        return (token[0] if token else None), token[1:]
    if token[1:2] != b"x":
        first = {b"t": 9, b"n": 10, b"r": 13}.get(token[1:2], token[1] if len(token) > 1 else None)
        return first, token[2:]
    if len(token) < 4:
        return None, b""
    high, low = (digit - 87 if 97 <= digit < 128 else digit - 48 for digit in token[2:4])
    return (high << 4) + low & 0xFF, token[4:]
