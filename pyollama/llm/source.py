"""Where a model comes from: a name in the store, or a file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from pyollama.errors import InvalidRequest, ModelNotFound, Unsupported
from pyollama.gguf import GGUFHeader
from pyollama.prompt import Message
from pyollama.prompt.message import read_messages
from pyollama.store import Store

__all__ = ["ModelSource"]

# A text that can only be meant as a path: names have no such beginning and no such end.
PATH = re.compile(r"(?:\.{0,2}/|~|[A-Za-z]:\\|\.{0,2}\\)|.*\.gguf$", re.IGNORECASE | re.DOTALL)


class ModelSource(msgspec.Struct, frozen=True):
    """The files and settings that make up a model.

    Args:
        name: What to call it.
        path: The GGUF file.
        adapters: LoRA adapters.
        parameters: Options that the model brings.
        system: Its system message.
        history: Messages that every conversation with it begins with.
    """

    name: str
    path: Path
    adapters: tuple[Path, ...] = ()
    parameters: dict[str, Any] = {}
    system: str = ""
    history: tuple[Message, ...] = ()

    @classmethod
    def find(cls, model: str | os.PathLike[str]) -> ModelSource:
        """Find a model.

        Args:
            model: A name, as ``"tiny"`` or ``"llama3.2:1b"``, or the path of a GGUF file: a ``Path``, or a text
                that ends with ``.gguf`` or begins with ``/``, ``./``, ``../`` or ``~``.

        Raises:
            ModelNotFound: No model has this name.
            InvalidModelName: The text is neither a path nor a name.
            StoreError: The model's files are damaged.
        """
        if isinstance(model, os.PathLike):
            path = Path(model)
            return cls(path.name, path)
        if not isinstance(model, str):
            raise InvalidRequest(f"a model is named by a str or a path, got {type(model).__name__}")
        if PATH.match(model):
            try:
                path = Path(model).expanduser()
            except RuntimeError:  # ~ and somebody who is not a user here
                raise ModelNotFound(f"{model}: no such file", name=model) from None
            return cls(path.name, path)
        stored = Store.default().find(model)
        if stored.template and not _has_chat_template(stored.model_path):
            raise Unsupported(
                f"model {model!r} has a template in Ollama's own language, which this version cannot read yet, and none "
                f"in its GGUF file: give the file itself, {stored.model_path}, and use generate(raw=True)"
            )
        return cls(
            name=str(stored.name),
            path=stored.model_path,
            adapters=tuple(stored.adapter_paths),
            parameters=stored.parameters,
            system=stored.system or "",
            history=tuple(read_messages(msgspec.to_builtins(stored.messages))) if stored.messages else (),
        )


def _has_chat_template(path: Path) -> bool:
    return bool(GGUFHeader.read(path).chat_template)
