"""The files that make up a loaded model, and how much memory they will take."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pyollama.engine import LoadOptions
from pyollama.engine.sizing import context_length, kv_bytes_per_token
from pyollama.gguf import GGUFHeader
from pyollama.store import StoredModel

__all__ = ["ModelFiles"]


class ModelFiles(msgspec.Struct, frozen=True):
    """Weights and adapters. Models of different names with the same files share one runner.

    Args:
        model: The GGUF file.
        adapters: LoRA adapters.
    """

    model: Path
    adapters: tuple[Path, ...] = ()

    @classmethod
    def of(cls, stored: StoredModel) -> ModelFiles:
        """The files of a model in the store.

        Raises:
            StoreError: One of them is missing or has the wrong size.
            Unsupported: The model has no GGUF file.
        """
        return cls(stored.model_path, stored.adapter_paths)

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for equal contents, in whichever directory: the name of a blob is its digest."""
        return tuple(path.name for path in (self.model, *self.adapters))

    def context_length(self, options: LoadOptions) -> int:
        """Tokens of context that a request with these options gets. Reads the header: slow for large files."""
        return context_length(GGUFHeader.read(self.model), options)

    def memory_needed(self, options: LoadOptions) -> int:
        """Bytes that loading will take at least: the weights, and a cache for one request."""
        header = GGUFHeader.read(self.model)
        cache = kv_bytes_per_token(header, options.kv_cache_type) * context_length(header, options)
        return sum(path.stat().st_size for path in (self.model, *self.adapters)) + cache
