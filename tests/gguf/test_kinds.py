"""Files of another kind than the one that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyollama.engine import LoadOptions, Model
from pyollama.errors import InvalidModelFile
from pyollama.gguf import GGUFHeader

from .models import llama
from .refusing import refused
from .writer import GGUF, Tensor, Value, array, f32, scalar, string, u32

LORA: dict[Any, Value] = {
    "general.architecture": string("llama"),
    "general.type": string("adapter"),
    "adapter.type": string("lora"),
    "adapter.lora.alpha": f32(4.0),
}
LORA_TENSORS = [Tensor("blk.0.attn_q.weight.lora_a", (32, 4)), Tensor("blk.0.attn_q.weight.lora_b", (4, 32))]
IMATRIX: dict[Any, Value] = {
    "general.type": string("imatrix"),
    "imatrix.datasets": array(8, ["wiki"]),
    "imatrix.chunk_count": u32(1),
}

KINDS: dict[str, tuple[GGUF, str]] = {
    "adapter": (GGUF(LORA, LORA_TENSORS), "an adapter"),
    "projector": (
        GGUF(
            {"general.architecture": string("clip"), "clip.vision.block_count": u32(2)}, [Tensor("v", (4,))]
        ),
        "a projector",
    ),
    "imatrix": (GGUF(IMATRIX, [Tensor("blk.0.ffn_up.weight.in_sum2", (32,))]), "an importance matrix"),
    "vocabulary": (GGUF(llama().values), "a vocabulary without a model"),
    "model": (llama(), "a model"),
}


@pytest.mark.parametrize("asked", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_kind(kind: str, asked: str, tmp_path: Path) -> None:
    """Catches a file that is taken for one of another kind, and a message that does not say which it is."""
    model, name = KINDS[kind]
    path = tmp_path / "file.gguf"
    path.write_bytes(model.to_bytes())
    assert GGUFHeader.read(path).kind == kind
    if kind == asked:
        assert GGUFHeader.read(path, kind=asked).kind == kind
    else:
        error = refused(path, "", kind=asked)
        assert error.reason == f"it is {name}, not {KINDS[asked][1]}"


@pytest.mark.parametrize("kind", ["adapter", "projector", "imatrix"])
@pytest.mark.parametrize("vocab_only", [False, True])
def test_engine_refuses_what_is_no_model(kind: str, vocab_only: bool, tmp_path: Path) -> None:
    """Catches a file without a model that reaches native code as one."""
    path = tmp_path / "file.gguf"
    path.write_bytes(KINDS[kind][0].to_bytes())
    with pytest.raises(InvalidModelFile, match=r"it holds no vocabulary|not a model") as caught:
        Model(path, options=LoadOptions(vocab_only=vocab_only))
    assert str(path) in str(caught.value)


def test_engine_refuses_a_model_as_adapter(tiny: Path) -> None:
    """Catches a model that is attached to another one."""
    with pytest.raises(InvalidModelFile, match="it is a model, not an adapter"):
        Model(tiny, adapters=[tiny])


@pytest.mark.parametrize(("no", "count"), [(0, 2), (1, 2), (2, 3)])
def test_part_of_a_split_model(no: int, count: int, tmp_path: Path) -> None:
    """Catches one part of several that is loaded as if it were the whole."""
    values = {
        "split.no": scalar(2, no),
        "split.count": scalar(2, count),
        "split.tensors.count": scalar(5, 99),
    }
    path = tmp_path / f"model-0000{no + 1}-of-0000{count}.gguf"
    # Only the first part says more than that.
    part = llama().set(values) if no == 0 else GGUF(dict(values), llama().tensors)
    path.write_bytes(part.to_bytes())
    message = f"it is part {no + 1} of {count} of a split model; the other parts are needed too"
    assert refused(path, "", kind="model").reason == message
    assert refused(path, "").reason == message
    split = GGUFHeader.read(path, split=True).split
    assert split is not None
    assert (split.no, split.count) == (no, count)
    with pytest.raises(InvalidModelFile, match="of a split model"):
        Model(path)
