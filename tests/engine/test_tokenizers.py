"""Tokenizers against the vectors that llama.cpp keeps, which were made with the original tokenizers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyollama.errors import InvalidRequest
from pyollama.native.model import Model

VOCABULARIES = Path(__file__).parents[2] / "vendor" / "llama.cpp" / "models"
NAMES = sorted(
    path.name.removeprefix("ggml-vocab-").removesuffix(".gguf.inp")
    for path in VOCABULARIES.glob("ggml-vocab-*.gguf.inp")
    if path.with_suffix(".out").is_file()
)
# Byte-level BPE that normalizes nothing: every text comes back. The others fold case (BERT), or turn spaces
# into another character and add one in front (SentencePiece).
EXACT = [
    *(
        "command-r",
        "deepseek-coder",
        "deepseek-llm",
        "falcon",
        "gpt-2",
        "llama-bpe",
        "mpt",
        "qwen2",
        "qwen35",
    ),
    *("refact", "starcoder"),
]


def vectors(name: str) -> list[tuple[str, list[int]]]:
    """Texts and their tokens, read as llama.cpp's test does."""
    path = VOCABULARIES / f"ggml-vocab-{name}.gguf"
    separated = (path.parent / f"{path.name}.inp").read_bytes().decode()
    texts = separated.split("\n__ggml_vocab_test__\n")
    if texts[-1] == "":
        texts.pop()
    lines = (path.parent / f"{path.name}.out").read_text(encoding="utf-8").splitlines()
    return [(text, [int(token) for token in line.split()]) for text, line in zip(texts, lines, strict=True)]


@pytest.fixture(scope="module")
def load(backend):
    """Loads a vocabulary by name, once."""
    if not NAMES:
        pytest.skip("the vendored llama.cpp tree has no vocabularies here (development list not unpacked)")
    loaded: dict[str, Model] = {}

    def get(name: str) -> Model:
        if name not in loaded:
            loaded[name] = Model(str(VOCABULARIES / f"ggml-vocab-{name}.gguf"), vocab_only=True)
        return loaded[name]

    return get


def test_there_are_vectors(load):
    """Catches: an update of llama.cpp that moves the files, so that nothing is tested any more."""
    assert len(NAMES) >= 6
    assert set(EXACT) <= set(NAMES)
    assert all(len(vectors(name)) > 40 for name in NAMES)


@pytest.mark.parametrize("name", NAMES or ["none"])
def test_vectors(name, load):
    """Catches: a text that becomes other tokens than with the original tokenizer."""
    model = load(name)
    for text, tokens in vectors(name):
        assert model.tokenize(text, add_special=False, parse_special=False) == tokens, repr(text)


@pytest.mark.parametrize("name", EXACT if NAMES else ["none"])
def test_pieces(name, load):
    """Catches: tokens whose bytes are not those that they were made from."""
    model = load(name)
    for text, tokens in vectors(name):
        assert b"".join(model.piece(token) for token in tokens) == text.encode()


@pytest.mark.parametrize("name", EXACT if NAMES else ["none"])
def test_round_trip(name, load):
    """Catches: a text that comes back changed, such as without the space before a question mark."""
    model = load(name)
    for text, tokens in vectors(name):
        assert model.detokenize(tokens) == text.encode()


any_text = st.text(max_size=60) | st.text(" \n\tab.,'1é漢🙂\0", max_size=60)


@given(text=any_text)
@settings(max_examples=300, deadline=None)
def test_round_trip_of_any_text(text, vocab):
    """Catches: a character that the embedded vocabulary loses, a NUL that ends the text early."""
    for parse_special in (False, True):
        tokens = vocab.tokenize(text, add_special=False, parse_special=parse_special)
        assert b"".join(vocab.piece(token) for token in tokens) == text.encode()
        assert vocab.detokenize(tokens) == text.encode()


def test_special_tokens(vocab):
    """Catches: text of a user that becomes a control token, and control tokens that are not recognized."""
    text = "<|im_start|>user\nHi<|im_end|>"
    parsed = vocab.tokenize(text, add_special=False, parse_special=True)
    plain = vocab.tokenize(text, add_special=False, parse_special=False)
    assert parsed[0] != plain[0]
    assert parsed[-1] == vocab.eos_token
    assert not any(vocab.is_eog(token) for token in plain)
    assert vocab.detokenize(parsed) == vocab.detokenize(plain) == text.encode()
    assert vocab.detokenize(parsed, unparse_special=False) == b"user\nHi"
    assert vocab.piece(vocab.eos_token) == b"<|im_end|>"
    assert vocab.piece(vocab.eos_token, special=False) == b""


@pytest.mark.parametrize("name", [name for name in NAMES if name in ("llama-spm", "bert-bge")] or ["none"])
def test_added_tokens(name, load):
    """Catches: a beginning or end of the sequence that is missing, or there when it was not asked for."""
    model = load(name)
    bare = model.tokenize("hello", add_special=False)
    whole = model.tokenize("hello", add_special=True)
    assert whole[0] == model.bos_token != bare[0]
    assert whole[1 : 1 + len(bare)] == bare
    assert len(whole) == len(bare) + (2 if name == "bert-bge" else 1)


def test_long_text(vocab):
    """Catches: a buffer that is too small for many tokens, or a time that grows with the square."""
    for text in ("a" * 200_000, "漢" * 50_000, "\x01" * 100_000, " word" * 50_000):
        assert vocab.detokenize(vocab.tokenize(text, add_special=False)) == text.encode()
    assert vocab.tokenize("", add_special=False) == []
    assert vocab.detokenize([]) == b""


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d \ude42"])
def test_lone_surrogate(text, vocab):
    """Catches: text that is no Unicode reaching native code."""
    with pytest.raises(InvalidRequest, match="Unicode"):
        vocab.tokenize(text)


@pytest.mark.parametrize("character", ["a", "!", "1", " ", "-", "日", "\n"])
def test_long_runs_of_one_character(character, tmp_path):
    """Catches: a stack that overflows in the regular expressions of some vocabularies."""
    names = ["deepseek-llm", "deepseek-coder", "falcon", "gpt-neox", "aquila", "llama-bpe", "qwen2"]
    files = [path for name in names if (path := VOCABULARIES / f"ggml-vocab-{name}.gguf").exists()]
    if not files:
        pytest.skip("the vendored llama.cpp tree has no vocabularies here")
    code = f"""
import sys
from pyollama.engine import LoadOptions, Model
for path in sys.argv[1:]:
    with Model(path, options=LoadOptions(vocab_only=True)) as model:
        tokens = model.tokenize({character!r} * 60_000, add_special=False)
        assert model.detokenize(tokens) == {character!r} * 60_000, path
"""
    command = [sys.executable, "-P", "-c", code, *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("token", [-1, -(2**31), 2**31 - 1, 2**31, 2**70, "outside", "7", 1.5, None])
def test_wrong_token(token, vocab):
    """Catches: a token id that native code would look up outside its table."""
    token = vocab.n_vocab if token == "outside" else token
    for tokens in ([token], [0, token], [token, 0]):
        with pytest.raises(InvalidRequest):
            vocab.detokenize(tokens)


@pytest.mark.parametrize("token", [-1, -(2**31), 2**31 - 1, 2**31, 2**70, "outside"])
def test_wrong_token_of_a_piece(token, vocab):
    """Catches: the same for one token."""
    token = vocab.n_vocab if token == "outside" else token
    with pytest.raises(InvalidRequest):
        vocab.piece(token)
    assert vocab.is_eog(token) is False
