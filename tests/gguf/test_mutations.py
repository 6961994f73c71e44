"""What the header check takes, llama.cpp survives: files with something changed, loaded in another process.

A crash found here gets a rule in ``pyollama/gguf`` and its file a name in ``test_hostile_values.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gguf.constants import MODEL_ARCH_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyollama.errors import InvalidModelFile, ModelLoadError
from pyollama.gguf import GGUFHeader

from .loading import Crash, Loader
from .models import MODELS, llama, of_architecture
from .writer import ARRAY, CODES, GGUF, STRING, Value, array, nested, scalar, string, u32

BASES = {name: make() for name, make in MODELS.items()}
BYTES = {name: model.to_bytes() for name, model in BASES.items()}
HEADERS = {name: len(model.header()) for name, model in BASES.items()}
KEYS = sorted(
    {str(key) for model in BASES.values() for key in model.values}
    | {
        "general.alignment",
        "llama.attention.key_length",
        "llama.attention.sliding_window",
        "llama.attention.value_length",
        "llama.expert_count",
        "llama.expert_used_count",
        "llama.nextn_predict_layers",
        "llama.pooling_type",
        "llama.rope.scaling.factor",
        "llama.rope.scaling.type",
        "split.count",
        "split.no",
        "tokenizer.ggml.add_sep_token",
        "tokenizer.ggml.add_space_prefix",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.precompiled_charsmap",
        "tokenizer.ggml.suppress_tokens",
    }
)
TEXTS = [
    "",
    "llama",
    "bert",
    "gpt2",
    "t5",
    "rwkv",
    "plamo2",
    "gemma4",
    "none",
    "yarn",
    "adapter",
    "a\0b",
    "\xff",
]
EDGES = [0, 1, 2, 3, 7, 8, 31, 32, 64, 255, 256, 512, 513, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1]


def survives(content: bytes, folder: Path, loader: Loader) -> str | None:
    """Load what the header check takes; None where it does not. It fails if the process dies."""
    path = folder / "changed.gguf"
    path.write_bytes(content)
    try:
        GGUFHeader.read(path, kind="model")
    except InvalidModelFile:
        return None
    return loader.load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed")


@pytest.mark.parametrize("name", MODELS)
def test_unchanged(name: str, folder: Path, loader: Loader) -> None:
    """Catches models that are refused as they are: the tests below would prove nothing."""
    assert survives(BYTES[name], folder, loader) == "loaded"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_changed_bytes(folder: Path, loader: Loader, data: st.DataObject) -> None:
    """Catches a damaged header that passes the check and ends the process."""
    name = data.draw(st.sampled_from(sorted(BASES)))
    content = bytearray(BYTES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, HEADERS[name] - 1))
        content[at] = data.draw(
            st.integers(0, 255) | st.sampled_from([0, 1, content[at] ^ 1, 0x7F, 0x80, 255])
        )
    survives(bytes(content), folder, loader)


def a_value() -> st.SearchStrategy[Value | None]:
    """A value of any type; None takes the key out."""

    def number(type: int) -> st.SearchStrategy[Any]:
        if type in (6, 12):
            return st.sampled_from([0.0, -1.0, 1e-30, 1e30]) | st.floats(width=32)
        if type == 7:
            return st.booleans()
        bits = {0: 8, 1: 8, 2: 16, 3: 16, 4: 32, 5: 32, 10: 64, 11: 64}[type]
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if CODES[type].islower() else (0, (1 << bits) - 1)
        return st.sampled_from([edge for edge in EDGES if edge <= high]) | st.integers(low, high)

    types = st.sampled_from(sorted(CODES))
    return st.one_of(
        st.none(),
        st.sampled_from(EDGES).map(u32),
        types.flatmap(lambda type: number(type).map(lambda value: scalar(type, value))),
        types.flatmap(lambda type: st.lists(number(type), max_size=5).map(lambda items: array(type, items))),
        st.sampled_from(TEXTS).map(string),
        st.text(max_size=20).map(lambda text: string(text.encode("utf-8", "replace"))),
        st.lists(st.sampled_from(TEXTS), max_size=5).map(lambda items: array(STRING, items)),
        st.just(nested(2)),
        st.just(array(ARRAY, [u32(1)])),
    )


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(BASES)), st.dictionaries(st.sampled_from(KEYS), a_value(), min_size=1, max_size=2)
)
def test_changed_values(folder: Path, loader: Loader, name: str, values: dict[Any, Value | None]) -> None:
    """Catches one value, of any type and size, that passes the check and ends the process."""
    own = {
        key.replace("llama.", f"{name}.", 1) if key.startswith("llama.") else key: v
        for key, v in values.items()
    }
    survives(BASES[name].set(own).to_bytes(), folder, loader)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_changed_tensors(folder: Path, loader: Loader, data: st.DataObject) -> None:
    """Catches a tensor of another type, shape or name, or a missing one, that ends the process."""
    model = BASES[data.draw(st.sampled_from(sorted(BASES)))]
    index = data.draw(st.integers(0, len(model.tensors) - 1))
    tensor = model.tensors[index]
    change = data.draw(st.sampled_from(["type", "shape", "name", "drop", "offset", "swap"]))
    if change == "type":
        model = model.with_tensor(index, type=data.draw(st.sampled_from([0, 1, 2, 8, 15, 26, 28])))
    elif change == "shape":
        sizes = st.sampled_from([1, 2, 16, 31, 32, 33, 64, 256])
        model = model.with_tensor(index, shape=tuple(data.draw(st.lists(sizes, max_size=4))))
    elif change == "name":
        names = [t.name for t in model.tensors] + ["", "x", "blk.9.attn_q.weight", "blk.-1.attn_q.weight"]
        model = model.with_tensor(index, name=data.draw(st.sampled_from(names)))
    elif change == "drop":
        model = GGUF(model.values, [t for t in model.tensors if t is not tensor])
    elif change == "offset":
        model = model.with_tensor(
            index, offset=data.draw(st.sampled_from([0, 1, 32, 4_096, 1 << 40, 2**64 - 32]))
        )
    else:
        model = GGUF(model.values, sorted(model.tensors, key=lambda t: str(t.name)))
    survives(model.to_bytes(), folder, loader)


def test_every_architecture(folder: Path, loader: Loader) -> None:
    """Catches an architecture whose own loader asserts something of a file that names only it."""
    for arch in sorted(MODEL_ARCH_NAMES.values()):
        experts: dict[Any, Value | None] = {
            f"{arch}.expert_count": u32(4),
            f"{arch}.expert_used_count": u32(2),
        }
        for values in ({}, experts, {f"{arch}.attention.head_count": None}):
            survives(of_architecture(arch).set(values).to_bytes(), folder, loader)


@pytest.mark.parametrize(
    "model", ["llama", "gpt2", "t5", "bert", "rwkv", "plamo2", "gemma4", "hybriddna", "test"]
)
def test_every_tokenizer(model: str, folder: Path, loader: Loader) -> None:
    """Catches a tokenizer that asserts something of the tokens, or writes outside of its tables."""
    odd = [
        "",
        "<0x",
        "<0x>",
        "<0x-1>",
        "<0xZZ>",
        "<0x100>",
        "\\",
        "\\x",
        "\\x4",
        "\\n",
        "b'",
        " ",
        "\n",
        "<oov>",
    ]
    for type in range(8):
        for base in BASES.values():
            count = 263  # as the llama has
            items: list[bytes | str] = [*odd, *(f"w{i}" for i in range(count - len(odd)))]
            changed = base.set(
                {
                    "tokenizer.ggml.model": string(model),
                    "tokenizer.ggml.tokens": array(STRING, items),
                    "tokenizer.ggml.token_type": array(5, [type] * count),
                    "tokenizer.ggml.scores": array(6, [0.0] * count),
                    "tokenizer.ggml.merges": array(STRING, ["a b", "", "a", " "]),
                }
            )
            survives(changed.with_tensor(0, shape=(32, count)).to_bytes(), folder, loader)


def test_the_loader_sees_a_crash(folder: Path, loader: Loader) -> None:
    """Catches a test process that reports nothing: this file makes llama.cpp abort, and the check refuses it."""
    path = folder / "aborts.gguf"
    path.write_bytes(llama().but(llama__block_count=u32(0)).to_bytes())
    with pytest.raises(Crash, match=r"aborts\.gguf: SIGABRT.*n_layer_all > 0"):
        loader.load(path, checked=False)
    path.write_bytes(llama().to_bytes())
    assert loader.load(path) == "loaded"


def test_native_errors_are_ours(folder: Path, loader: Loader) -> None:
    """Catches a refusal by llama.cpp that reaches Python as something else, or does not name the file."""
    model = GGUF(llama().values, llama().tensors[:-1])
    answer = survives(model.to_bytes(), folder, loader)
    assert answer is not None
    assert answer.startswith(f"{ModelLoadError.__name__}: could not load {folder}/changed.gguf: ")
    assert "blk.0.ffn_down.weight" in answer
