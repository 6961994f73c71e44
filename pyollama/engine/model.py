"""A model in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pyollama.engine import backend
from pyollama.engine.options import LoadOptions
from pyollama.errors import InvalidRequest
from pyollama.gguf import GGUFHeader

__all__ = ["Adapter", "Model"]

Adapter = str | os.PathLike[str] | tuple[str | os.PathLike[str], float]


class Model:
    """Weights and vocabulary of a GGUF file. Immutable after loading; any number of threads may use it.

    Args:
        path: The GGUF file.
        options: Its load options; None: the defaults.
        adapters: LoRA adapters (GGUF files), each alone or with a scale.
        progress: Called with 0.0 to 1.0 while loading; returning False cancels.

    Raises:
        ModelNotFound: There is no such file.
        InvalidModelFile: The file is not a model that can be loaded; native code has not read it.
        ModelLoadError: llama.cpp refused it, or memory is short.
        Cancelled: ``progress`` returned False.

    Example::

        with Model("model.gguf") as model:
            model.tokenize("Hello")
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        options: LoadOptions | None = None,
        adapters: Iterable[Adapter] = (),
        progress: Callable[[float], bool | None] | None = None,
    ) -> None:
        self.options = options or LoadOptions()
        self.header = GGUFHeader.read(path, kind=None if self.options.vocab_only else "model")
        if self.header.kind not in ("model", "vocabulary"):
            raise self.header.error("it holds no vocabulary: it is not a model")
        pairs = [_adapter(item) for item in adapters]
        for adapter_path, _ in pairs:
            GGUFHeader.read(adapter_path, kind="adapter")
        backend.start()
        from pyollama.native import backend as native_backend
        from pyollama.native import model as native_model

        if self.options.numa:
            native_backend.enable_numa()
        self.native: Any = native_model.Model(
            self.header.path,
            adapters=pairs,
            n_gpu_layers=self.options.num_gpu,
            main_gpu=-1 if self.options.main_gpu is None else self.options.main_gpu,
            use_mmap=self.options.use_mmap,
            use_mlock=self.options.use_mlock,
            vocab_only=self.options.vocab_only,
            overrides=self._missing_metadata(),
            progress=progress,
        )

    def _missing_metadata(self) -> dict[str, int]:
        """What num_gqa says of a file from before the number of key-value heads was written down."""
        heads = self.header.get("attention.head_count")
        if self.options.num_gqa < 2 or self.header.get("attention.head_count_kv") is not None:
            return {}
        if not isinstance(heads, int) or heads % self.options.num_gqa:
            raise InvalidRequest(
                f'option "num_gqa" is {self.options.num_gqa}, which does not divide {heads} attention heads'
            )
        return {f"{self.header.architecture}.attention.head_count_kv": heads // self.options.num_gqa}

    def close(self) -> None:
        """Free the model once no engine uses it any more. Idempotent."""
        self.native.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Model {self.header.path}>"

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Token ids of a text.

        Args:
            text: The text.
            add_special: Add the tokens that the model wants at the beginning and the end.
            parse_special: Read control tokens that stand in the text; False: they are ordinary text.

        Raises:
            InvalidRequest: The text is not a str or not valid Unicode.
        """
        if not isinstance(text, str):
            raise InvalidRequest(f"a text to tokenize must be a str, got {type(text).__name__}")
        tokens: list[int] = self.native.tokenize(text, add_special=add_special, parse_special=parse_special)
        return tokens

    def detokenize(self, tokens: Sequence[int], *, special: bool = True) -> str:
        """The text of tokens; bytes that are no whole character become U+FFFD.

        Args:
            tokens: Token ids.
            special: Whether control tokens are written out.

        Raises:
            InvalidRequest: A token is not in the vocabulary.
        """
        data: bytes = self.native.detokenize(tokens, unparse_special=special)
        return data.decode("utf-8", "replace")

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes of one token; they need not be a whole character."""
        data: bytes = self.native.piece(token, special=special)
        return data

    def logit_bias(self, bias: Iterable[tuple[int | str, float]]) -> list[tuple[int, float]]:
        """``bias`` by token id: a text stands for each of its tokens."""
        result: list[tuple[int, float]] = []
        for token, value in bias:
            ids = [token] if isinstance(token, int) else self.tokenize(token, add_special=False)
            result.extend((number, value) for number in ids)
        return result

    @property
    def generates(self) -> bool:
        """Whether the model writes text; an encoder, as most embedding models are, does not."""
        return not self.options.vocab_only and not (self.native.has_encoder and not self.native.has_decoder)


def _adapter(item: Adapter) -> tuple[str, float]:
    path, scale = item if isinstance(item, tuple) else (item, 1.0)
    return os.fspath(path), float(scale)
