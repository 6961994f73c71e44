"""The models that are loaded, as clients see them."""

from __future__ import annotations

import math
import time

import msgspec

from pyollama.api.details import Details
from pyollama.api.times import local_time
from pyollama.scheduler import LoadedModel

__all__ = ["RunningModel"]

# For "never": what the longest duration of the reference comes to.
FOREVER = 292 * 365.25 * 86400


class RunningModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model in ``/api/ps``.

    Args:
        name: For people.
        model: The same.
        size: Bytes in use.
        digest: Of the manifest.
        details: What kind of model it is.
        expires_at: When it will be unloaded, in local time.
        size_vram: The part of ``size`` that is on a GPU.
        context_length: Tokens of context of one request.
        num_parallel: Requests that run at the same time.
    """

    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: str
    size_vram: int
    context_length: int
    num_parallel: int

    @classmethod
    def of(cls, model: LoadedModel, name: str, details: Details) -> RunningModel:
        """A loaded model as clients see it, under one of its names."""
        expires = time.time() + FOREVER if math.isinf(model.expires_at) else model.expires_at
        return cls(
            name=name,
            model=name,
            size=model.loaded.size,
            digest=model.names[name],
            details=details,
            expires_at=local_time(int(expires * 1e9)),
            size_vram=model.loaded.size_gpu,
            context_length=model.loaded.n_ctx,
            num_parallel=model.loaded.n_parallel,
        )
