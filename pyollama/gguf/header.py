"""The header of a GGUF file, checked before any native code sees it.

llama.cpp trusts much of what a file says and answers nonsense by aborting the process or worse.
`GGUFHeader.read` refuses such files in bounded time and memory. It reads the metadata and the table of
tensors, never the tensor data, and leaves arrays where they are, in the file.
"""

from __future__ import annotations

import os
import struct
from typing import Any, Literal, TypeAlias, overload

import msgspec

from pyollama.errors import InvalidModelFile
from pyollama.gguf import checks
from pyollama.gguf.parse import MAX_HEADER, parse
from pyollama.gguf.reader import Reader
from pyollama.gguf.types import FILE_TYPES, SCALARS, GGUFArray, SplitInfo, TensorInfo, Value

__all__ = ["GGUFArray", "GGUFHeader", "SplitInfo", "TensorInfo"]

Kind: TypeAlias = Literal["model", "vocabulary", "adapter", "projector", "imatrix"]


class GGUFHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata and the tensor table of a GGUF file that is safe to hand to llama.cpp.

    Args:
        path: The file.
        size: Bytes of the file.
        version: Of the format: 2 or 3.
        alignment: Of tensors in the data section, in bytes.
        data_offset: Where the data section begins, in bytes from the start of the file.
        values: Metadata by full key, in the order of the file.
        types: Type of each value: ``uint32``, ``string``, ``array``, ...
        tensors: In the order of the file.
        identity: What tells this file from one that took its place.

    Example::

        header = GGUFHeader.read("model.gguf", kind="model")
        header.architecture, header.parameter_count, header.get("block_count")   # "llama", 15000000, 6
        tokens = header.array("tokenizer.ggml.tokens")
    """

    path: str
    size: int
    version: int
    alignment: int
    data_offset: int
    values: dict[str, Value]
    types: dict[str, str]
    tensors: tuple[TensorInfo, ...]
    identity: tuple[int, ...]

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], *, kind: Kind | None = None, split: bool = False
    ) -> GGUFHeader:
        """Read and check the header of a GGUF file.

        Args:
            path: The file.
            kind: What the file must be; None takes any.
            split: Whether one part of a split model is taken. By itself a part cannot be loaded.

        Raises:
            InvalidModelFile: The file is not GGUF, is damaged or incomplete, is of another kind, or says
                something that native code would not survive.
            ModelNotFound: There is no such file.
            PermissionError: The file may not be read.
        """
        with Reader(path, MAX_HEADER) as reader:
            parsed = parse(reader)
            header = cls(
                path=reader.path, size=reader.size, identity=reader.identity, **msgspec.structs.asdict(parsed)
            )
        header._check_kind(kind, split)
        checks.check(header)
        return header

    def _check_kind(self, kind: Kind | None, split: bool) -> None:
        found = self.split
        if found is not None and found.count > 1 and not split:
            raise self.error(
                f"it is part {found.no + 1} of {found.count} of a split model; the other parts are needed too"
            )
        if kind is not None and kind != self.kind:
            raise self.error(f"it is {_article(self.kind)}, not {_article(kind)}")

    def error(self, reason: str) -> InvalidModelFile:
        """The error that refuses this file for ``reason``."""
        return InvalidModelFile(path=self.path, reason=reason)

    @overload
    def get(self, key: str) -> Value | None: ...
    @overload
    def get(self, key: str, default: Any) -> Any: ...
    def get(self, key: str, default: Any = None) -> Any:
        """A metadata value by its key, with or without the prefix of the architecture.

        Example::

            header.get("context_length", 0)   # the value of llama.context_length
        """
        if key in self.values:
            return self.values[key]
        return self.values.get(f"{self.architecture}.{key}", default)

    def array(self, key: str) -> list[Any]:
        """Read an array of the metadata from the file; empty where there is none.

        Text that is not UTF-8 gets U+FFFD for each bad part.

        Raises:
            InvalidModelFile: The file has changed since the header was read.
        """
        value = self.get(key)
        if not isinstance(value, GGUFArray):
            return []
        if value.type == "string":
            return [piece.decode("utf-8", "replace") for piece in self.raw_strings(key)]
        with self._open_at(value) as reader:
            data = reader.take(value.nbytes, f"the array {key}")
        code = next(scalar.code for scalar in SCALARS.values() if scalar.name == value.type)
        return list(struct.unpack(f"<{value.length}{code}", data))

    def raw_strings(self, key: str) -> list[bytes]:
        """The strings of an array as they are in the file; empty where there is none."""
        value = self.get(key)
        if not isinstance(value, GGUFArray) or value.type != "string":
            return []
        with self._open_at(value) as reader:
            return reader.strings(value.length, f"the array {key}")

    def _open_at(self, array: GGUFArray) -> Reader:
        reader = Reader(self.path, MAX_HEADER)
        if reader.identity != self.identity:
            reader.close()
            raise self.error("the file has changed since its header was read")
        reader.position = array.offset
        return reader

    def text(self, key: str) -> str:
        """A metadata value that is text; empty where there is none."""
        value = self.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """A metadata value that is an integer; 0 where there is none."""
        value = self.get(key)
        return value if isinstance(value, int) else 0

    @property
    def architecture(self) -> str:
        """Name of the architecture, such as ``llama``; empty where the file does not say."""
        value = self.values.get("general.architecture")
        return value if isinstance(value, str) else ""

    @property
    def kind(self) -> Kind:
        """What the file holds."""
        said = self.values.get("general.type")
        if said == "adapter":
            return "adapter"
        if said == "mmproj" or self.architecture == "clip":
            return "projector"
        if said == "imatrix":
            return "imatrix"
        return "model" if self.tensors else "vocabulary"

    @property
    def is_adapter(self) -> bool:
        """Whether it is a LoRA adapter."""
        return self.kind == "adapter"

    @property
    def is_vocabulary(self) -> bool:
        """Whether it has a vocabulary and no tensors: good for tokenizing only."""
        return self.kind == "vocabulary"

    @property
    def name(self) -> str:
        """The name that the file gives itself."""
        return self.text("general.name")

    @property
    def parameter_count(self) -> int:
        """How many numbers all tensors have."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def file_type(self) -> str:
        """Quantization level, such as ``Q4_K_M``; ``unknown`` where the file does not say."""
        value = self.values.get("general.file_type")
        return FILE_TYPES.get(value, "unknown") if isinstance(value, int) else "unknown"

    @property
    def context_length(self) -> int:
        """Tokens of context that the model was trained with; 0 where the file does not say."""
        return self.number("context_length")

    @property
    def embedding_length(self) -> int:
        """Width of the model; 0 where the file does not say."""
        return self.number("embedding_length")

    @property
    def block_count(self) -> int:
        """Layers of the model; 0 where the file does not say."""
        return self.number("block_count")

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens; 0 where the file has no vocabulary."""
        value = self.values.get("tokenizer.ggml.tokens")
        return value.length if isinstance(value, GGUFArray) else self.number("vocab_size")

    @property
    def chat_template(self) -> str:
        """The chat template (Jinja) of the file; empty where it has none."""
        return self.text("tokenizer.chat_template")

    @property
    def pooling_type(self) -> str | None:
        """How an embedding model makes one vector of many, such as ``mean``; None where it is not one."""
        value = self.get("pooling_type")
        return checks.POOLING_TYPES[value] if isinstance(value, int) else None

    @property
    def split(self) -> SplitInfo | None:
        """Which part of a split model this is; None where it is whole."""
        if not isinstance(self.values.get("split.count"), int):
            return None
        return SplitInfo(*(self.number(f"split.{name}") for name in ("no", "count", "tensors.count")))


def _article(kind: Kind) -> str:
    return {
        "model": "a model",
        "vocabulary": "a vocabulary without a model",
        "adapter": "an adapter",
        "projector": "a projector",
        "imatrix": "an importance matrix",
    }[kind]
