# Of csrc/bindings/pyollama/native/sampler.pyx.

from collections.abc import Iterable
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from pyollama.engine.options import SamplingOptions
from pyollama.native.model import Model

class Sampler:
    def __init__(
        self,
        model: Model,
        options: SamplingOptions,
        *,
        seed: int = 0,
        logit_bias: Iterable[tuple[int, float]] = (),
        grammar: str = "",
    ) -> None: ...
    def accept(self, tokens: Iterable[SupportsIndex]) -> None: ...
    def accept_prompt(self, tokens: Iterable[SupportsIndex]) -> None: ...
    def sample(self, logits: NDArray[np.float32]) -> int: ...
    def distribution(self, logits: NDArray[np.float32]) -> list[tuple[int, float, float]]: ...
