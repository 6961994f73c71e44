"""Files that are right: taken, and read as the gguf package reads them."""

from __future__ import annotations

import math
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType
from gguf.constants import GGML_QUANT_SIZES

from pyollama.gguf import FILE_TYPES, TENSOR_TYPES, GGUFArray, GGUFHeader, SplitInfo

from .models import MODELS, bert, llama, qwen2
from .writer import GGUF, STRING, array, boolean, f32, scalar, string, u32

LLAMA_CPP = Path(__file__).parents[2] / "vendor" / "llama.cpp"
VOCABULARIES = sorted((LLAMA_CPP / "models").glob("ggml-vocab-*.gguf"))


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float):
        return math.isclose(ours, theirs) or (math.isnan(ours) and math.isnan(theirs))
    return bool(ours == theirs)


def assert_equal_to_reference(path: Path) -> GGUFHeader:
    """Compare everything that a file says with what the gguf package reads."""
    header = GGUFHeader.read(path)
    reference = GGUFReader(path)
    fields = {name: field for name, field in reference.fields.items() if not name.startswith("GGUF.")}
    assert list(header.values) == list(fields)
    for name, field in fields.items():
        kind = field.types[0]
        assert header.types[name] == kind.name.lower()
        value = header.values[name]
        if kind == GGUFValueType.ARRAY:
            assert isinstance(value, GGUFArray)
            # The reference forgets the type of the elements of an empty array.
            assert value.length == len(field.data)
            assert not value.length or value.type == field.types[-1].name.lower()
            contents = field.contents() if field.data else []
            assert all(same(*pair) for pair in zip(header.array(name), contents, strict=True)), name
        else:
            assert same(value, field.contents()), name
    assert header.alignment == reference.alignment
    assert header.version == reference.fields["GGUF.version"].contents()
    assert [t.name for t in header.tensors] == [t.name for t in reference.tensors]
    for ours, theirs in zip(header.tensors, reference.tensors, strict=True):
        assert ours.shape == tuple(theirs.shape.tolist())
        assert ours.type.name == theirs.tensor_type.name
        assert (ours.offset, ours.nbytes, ours.elements) == (
            theirs.data_offset,
            theirs.n_bytes,
            theirs.n_elements,
        )
    return header


def test_tiny(tiny: Path) -> None:
    """Catches the embedded model being refused, or read otherwise than by the gguf package."""
    header = assert_equal_to_reference(tiny)
    assert GGUFHeader.read(str(tiny), kind="model") == GGUFHeader.read(tiny)
    assert (header.kind, header.architecture, header.name) == ("model", "llama", "tiny")
    assert header.path == str(tiny)
    assert header.size == tiny.stat().st_size
    assert (header.block_count, header.embedding_length, header.context_length) == (6, 256, 2_048)
    assert header.vocabulary_size == 4_096
    assert 5_000_000 < header.parameter_count < 6_000_000
    assert header.file_type == "Q8_0"
    assert header.get("attention.head_count") == header.get("llama.attention.head_count") == 8
    assert header.get("no.such.key") is None
    assert header.get("no.such.key", 7) == 7
    assert "im_start" in header.chat_template
    assert header.pooling_type is None
    assert header.split is None
    assert not header.is_adapter
    assert not header.is_vocabulary
    assert header.array("tokenizer.ggml.tokens")[header.number("tokenizer.ggml.eos_token_id")] == "<|im_end|>"
    assert header.array("general.name") == []


@pytest.mark.skipif(not VOCABULARIES, reason="the llama.cpp tree has no models folder here")
@pytest.mark.parametrize("path", VOCABULARIES, ids=lambda path: path.stem[11:])
def test_vocabularies_of_llama_cpp(path: Path) -> None:
    """Catches a published vocabulary that is refused: each rule is for hostile files only."""
    header = GGUFHeader.read(path, kind="vocabulary")
    assert header.is_vocabulary
    assert header.tensors == ()
    assert header.parameter_count == 0
    assert header.vocabulary_size > 20_000


@pytest.mark.skipif(not VOCABULARIES, reason="the llama.cpp tree has no models folder here")
@pytest.mark.parametrize("name", ["bert-bge", "llama-spm", "gpt-2"])
def test_vocabularies_against_the_reference(name: str) -> None:
    """Catches arrays of a real file that are read otherwise than by the gguf package."""
    header = assert_equal_to_reference(LLAMA_CPP / "models" / f"ggml-vocab-{name}.gguf")
    assert len(header.raw_strings("tokenizer.ggml.tokens")) == header.vocabulary_size


@pytest.mark.parametrize("name", MODELS)
def test_small_models(name: str, tmp_path: Path) -> None:
    """Catches a writer of these tests that writes something else than the gguf package reads."""
    path = tmp_path / "model.gguf"
    path.write_bytes(MODELS[name]().to_bytes())
    assert_equal_to_reference(path)


def test_values_of_every_type(tmp_path: Path) -> None:
    """Catches a type of value that is read with the wrong size, sign or name."""
    cases: list[tuple[int, str, list[Any]]] = [
        (0, "uint8", [0, 255]),
        (1, "int8", [-128, 127]),
        (2, "uint16", [0, 65_535]),
        (3, "int16", [-32_768, 32_767]),
        (4, "uint32", [0, 2**32 - 1]),
        (5, "int32", [-(2**31), 2**31 - 1]),
        (6, "float32", [-1.5, math.inf]),
        (7, "bool", [False, True]),
        (10, "uint64", [0, 2**64 - 1]),
        (11, "int64", [-(2**63), 2**63 - 1]),
        (12, "float64", [1e300, -0.0]),
    ]
    model = qwen2()
    for number, name, values in cases:
        for index, value in enumerate(values):
            model = model.set({f"test.{name}.{index}": scalar(number, value)})
        model = model.set({f"test.{name}.array": array(number, values)})
    model = model.set({"test.strings": array(STRING, ["", "\u00e9", "a\0b"]), "test.empty": array(4, [])})
    path = tmp_path / "model.gguf"
    path.write_bytes(model.to_bytes())
    header = assert_equal_to_reference(path)
    for _, name, values in cases:
        assert [header.values[f"test.{name}.{i}"] for i in range(2)] == values
        assert header.types[f"test.{name}.0"] == name
        assert header.array(f"test.{name}.array") == values
    assert header.array("test.strings") == ["", "\u00e9", "a\0b"]
    assert header.raw_strings("test.strings") == [b"", "\u00e9".encode(), b"a\0b"]
    assert header.array("test.empty") == []


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    """Catches a model that is refused for a name or a token of odd bytes, as vocabularies have them."""
    model = qwen2().but(general__name=string(b"caf\xe9"), test__strings=array(STRING, [b"\xff", b"ok"]))
    path = tmp_path / "model.gguf"
    path.write_bytes(model.to_bytes())
    header = GGUFHeader.read(path, kind="model")
    assert header.name == "caf\ufffd"
    assert header.array("test.strings") == ["\ufffd", "ok"]
    assert header.raw_strings("test.strings") == [b"\xff", b"ok"]


@pytest.mark.parametrize("alignment", [32, 64, 4_096])
def test_alignment(alignment: int, tmp_path: Path) -> None:
    """Catches tensors that are looked for at the default alignment."""
    model = llama().but(general__alignment=u32(alignment))
    model.alignment = alignment
    path = tmp_path / "model.gguf"
    path.write_bytes(model.to_bytes())
    header = assert_equal_to_reference(path)
    assert header.alignment == alignment
    assert header.data_offset % alignment == 0


def test_version_2(tmp_path: Path) -> None:
    """Catches files of version 2, which differ in nothing else, being refused."""
    model = llama()
    model.version = 2
    path = tmp_path / "model.gguf"
    path.write_bytes(model.to_bytes())
    assert assert_equal_to_reference(path).version == 2


def test_bytes_behind_the_tensors(tmp_path: Path) -> None:
    """Catches a padded file being refused."""
    path = tmp_path / "model.gguf"
    path.write_bytes(llama().to_bytes() + bytes(5_000))
    assert len(GGUFHeader.read(path, kind="model").tensors) == 11


def test_values_that_are_allowed(tmp_path: Path) -> None:
    """Catches rules that are stricter than llama.cpp, at their edges."""
    models = {
        "one number per layer": qwen2().but(
            qwen2__attention__head_count=array(4, [4, 4]), qwen2__attention__head_count_kv=array(5, [2, 2])
        ),
        "layers without attention": qwen2().but(
            qwen2__attention__head_count=array(4, [4, 0]), qwen2__attention__head_count_kv=array(4, [2, 0])
        ),
        "key-value heads by default": llama().but(llama__attention__head_count_kv=None),
        "bos by default": llama().but(tokenizer__ggml__bos_token_id=None),
        "bos outside, default inside": llama().but(tokenizer__ggml__bos_token_id=u32(10_000)),
        "eos outside, not added": llama().but(tokenizer__ggml__eos_token_id=u32(10_000)),
        "no scores": qwen2().but(tokenizer__ggml__scores=None),
        "integer scores": llama().but(tokenizer__ggml__scores=array(5, range(263))),
        "linear scaling": llama().but(llama__rope__scaling__type=string("linear")),
        "epsilon 0": llama().but(llama__attention__layer_norm_rms_epsilon=f32(0.0)),
        "pooling": bert().but(bert__pooling_type=u32(4)),
        "not split": llama().but(split__count=scalar(2, 0)),
        "one part": llama().but(split__count=scalar(2, 1), split__no=scalar(2, 0)),
        "unknown values": llama().but(llama__unknown=f32(math.nan), other__architecture=boolean(True)),
    }
    for name, model in models.items():
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(model.to_bytes())
        assert GGUFHeader.read(path, kind="model").kind == "model", name


def test_properties(tmp_path: Path) -> None:
    """Catches properties that fail on a file which does not say much, or give the wrong value."""
    path = tmp_path / "model.gguf"
    path.write_bytes(bert().to_bytes())
    header = GGUFHeader.read(path)
    assert header.pooling_type == "mean"
    assert header.file_type == "unknown"
    assert (header.name, header.chat_template) == ("", "")
    assert header.number("no.such.key") == 0
    for number, name in ((0, "F32"), (15, "Q4_K_M"), (4, "unknown"), (10_000, "unknown")):
        path.write_bytes(qwen2().but(general__file_type=u32(number)).to_bytes())
        assert GGUFHeader.read(path).file_type == name
    path.write_bytes(qwen2().but(general__name=u32(3), general__file_type=string("x")).to_bytes())
    header = GGUFHeader.read(path)
    assert (header.name, header.file_type) == ("", "unknown")
    part = llama().but(split__count=scalar(2, 3), split__no=scalar(2, 1), split__tensors__count=scalar(5, 99))
    path.write_bytes(part.to_bytes())
    assert GGUFHeader.read(path, split=True).split == SplitInfo(no=1, count=3, tensors=99)


def test_tables_of_types() -> None:
    """Catches a tensor type with another size than in llama.cpp, and a level under another name."""
    for number, ours in TENSOR_TYPES.items():
        if number not in list(GGMLQuantizationType) or ours.name == "Q8_1":
            continue  # newer than the package, or counted wrongly there: ggml has two halves, not two floats
        theirs = GGMLQuantizationType(number)
        assert (ours.name, ours.block, ours.nbytes) == (theirs.name, *GGML_QUANT_SIZES[theirs])
    assert {t.value for t in GGMLQuantizationType} <= set(TENSOR_TYPES)
    assert FILE_TYPES[2] == "Q4_0"
    assert FILE_TYPES[14] == "Q4_K_S"


@pytest.mark.parametrize("n", [128_256])
def test_large_vocabulary_is_fast(n: int, tmp_path: Path) -> None:
    """Catches a header of 128k tokens and 280k merges that takes a second, or is kept in memory."""
    tokens = [f"\u0120token{i}" for i in range(n - 5)]
    merges = [f"\u0120to ken{i}" for i in range(280_000)]
    small = qwen2()
    model = small.but(
        tokenizer__ggml__tokens=array(STRING, [*tokens, "a", "b", "c", "d", "e"]),
        tokenizer__ggml__token_type=array(5, [1] * n),
        tokenizer__ggml__merges=array(STRING, merges),
    ).with_tensor(0, shape=(32, n))
    path = tmp_path / "model.gguf"
    # Without room for the rows of all tokens the file would be of 16 MB.
    path.write_bytes(model.header())
    with path.open("r+b") as file:
        file.truncate(64 << 20)
    start = time.perf_counter()
    header = GGUFHeader.read(path, kind="model")
    assert time.perf_counter() - start < 1.0
    assert header.vocabulary_size == n
    start = time.perf_counter()
    assert header.array("tokenizer.ggml.merges") == merges
    assert time.perf_counter() - start < 1.0
    tracemalloc.start()
    try:
        GGUFHeader.read(path, kind="model")
        assert tracemalloc.get_traced_memory()[0] < 1 << 20  # what stays
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_header_without_data_is_incomplete_but_gguf(tmp_path: Path) -> None:
    """Catches an empty GGUF file being taken for a model: it has no values at all."""
    path = tmp_path / "model.gguf"
    path.write_bytes(GGUF({"general.architecture": string("llama")}).to_bytes())
    with pytest.raises(Exception, match="a vocabulary without a model"):
        GGUFHeader.read(path, kind="model")
