"""A model in memory."""

from __future__ import annotations

import hashlib
import math
import numbers
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Literal

import msgspec

from pyollama.engine import backend
from pyollama.engine.options import LoadOptions
from pyollama.errors import Cancelled, InvalidRequest, OptionError
from pyollama.gguf import GGUFHeader

__all__ = ["Adapter", "Model", "read_adapters"]

SAMPLE = 512  # bytes

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
        InvalidRequest: An argument has the wrong type.

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
        self.header = _header(path, None if self.options.vocab_only else "model")
        if self.header.kind not in ("model", "vocabulary"):
            raise self.header.error("it holds no vocabulary: it is not a model")
        pairs = read_adapters(adapters)
        if progress is not None and not callable(progress):
            raise InvalidRequest(f"progress must be a function, got {type(progress).__name__}")
        self._adapters = [(_header(path, "adapter"), scale) for path, scale in pairs]
        backend.start()
        from pyollama.native import backend as native_backend
        from pyollama.native import model as native_model

        if self.options.numa:
            native_backend.enable_numa()
        overrides = self._missing_metadata()
        loading = backend.Loading(progress)
        try:
            self.native = native_model.Model(
                self.header.path,
                adapters=pairs,
                n_gpu_layers=self.options.num_gpu,
                main_gpu=-1 if self.options.main_gpu is None else self.options.main_gpu,
                use_mmap=self.options.use_mmap,
                use_mlock=self.options.use_mlock,
                vocab_only=self.options.vocab_only,
                overrides=overrides,
                progress=loading,
            )
        except Cancelled:
            backend.end_thread_at_exit()
            raise
        finally:
            loading.end()

    def _missing_metadata(self) -> dict[str, int]:
        """What num_gqa says of a file from before the number of key-value heads was written down."""
        heads = self.header.get("attention.head_count")
        if self.options.num_gqa < 2 or self.header.get("attention.head_count_kv") is not None:
            return {}
        if not isinstance(heads, int) or heads % self.options.num_gqa:
            raise OptionError(
                f'option "num_gqa" is {self.options.num_gqa}, which does not divide {heads} attention heads',
                option="num_gqa",
                value=self.options.num_gqa,
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
        return self.native.tokenize(str(text), add_special=add_special, parse_special=parse_special)

    def detokenize(self, tokens: Sequence[int], *, special: bool = True) -> str:
        """The text of tokens; bytes that are no whole character become U+FFFD.

        Args:
            tokens: Token ids.
            special: Whether control tokens are written out.

        Raises:
            InvalidRequest: A token is not in the vocabulary.
        """
        return self.native.detokenize(tokens, unparse_special=special).decode("utf-8", "replace")

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes of one token; they need not be a whole character."""
        return self.native.piece(token, special=special)

    def logit_bias(self, bias: Iterable[tuple[int | str, float]]) -> list[tuple[int, float]]:
        """``bias`` by token id: a text stands for each of its tokens."""
        result: list[tuple[int, float]] = []
        for token, value in bias:
            ids = [token] if isinstance(token, int) else self.tokenize(token, add_special=False)
            result.extend((number, value) for number in ids)
        return result

    @cached_property
    def identity(self) -> int:
        """A 64-bit number that differs between models whose saved states must not be mixed up.

        It looks at the whole header and at a sample of every tensor, of the model and of its adapters.
        """
        digest = hashlib.blake2b(digest_size=8)
        for header, scale in [(self.header, 1.0), *self._adapters]:
            digest.update(f"{header.size} {scale!r}".encode())
            with open(header.path, "rb") as file:
                digest.update(file.read(header.data_offset))
                for tensor in header.tensors:
                    for place in (0, tensor.nbytes // 2, tensor.nbytes - SAMPLE):
                        file.seek(tensor.offset + max(0, place))
                        digest.update(file.read(min(SAMPLE, tensor.nbytes)))
        return int.from_bytes(digest.digest(), "little")

    @property
    def generates(self) -> bool:
        """Whether the model writes text; an encoder, as most embedding models are, does not."""
        if self.options.vocab_only or self.options.embedding_only:
            return False
        # Encoders of BERT's kind look both ways; in llama.cpp's terms they have neither encoder nor decoder.
        looks_back_only = self.header.get("attention.causal") is not False
        return looks_back_only and (not self.native.has_encoder or bool(self.native.has_decoder))


def _header(path: str | os.PathLike[str], kind: Literal["model", "adapter"] | None) -> GGUFHeader:
    """The header, with an absolute path: the program may change its folder before the file is read again."""
    header = GGUFHeader.read(path, kind=kind)
    return msgspec.structs.replace(header, path=os.path.abspath(header.path))


def read_adapters(given: Iterable[Adapter]) -> list[tuple[str, float]]:
    """Path and scale of each adapter.

    Raises:
        InvalidRequest: It is no list, or one of them is neither a path nor a pair of path and scale.
    """
    if isinstance(given, (str, bytes, os.PathLike)) or not isinstance(given, Iterable):
        raise InvalidRequest(f"adapters must be a list, got {type(given).__name__}")
    return [_adapter(item) for item in given]


def _adapter(item: Adapter) -> tuple[str, float]:
    pair = item if isinstance(item, tuple) else (item, 1.0)
    if len(pair) != 2 or not isinstance(pair[0], (str, os.PathLike)):
        raise InvalidRequest(f"an adapter must be a path, or a path and a scale, got {item!r:.200}")
    path, scale = pair
    if isinstance(scale, bool) or not isinstance(scale, numbers.Real) or not math.isfinite(scale):
        raise InvalidRequest(f"the scale of an adapter must be a finite number, got {scale!r:.60}")
    return os.fspath(path), float(scale)
