"""The engine for Python: a model in memory, and requests that run on it side by side.

`Model` holds weights and vocabulary. `Engine` generates text, many requests in one context; each is a
`Generation` (or an `AsyncGeneration`). `Embedder` makes vectors. `pyollama.LLM` is the comfortable way to all
of them.
"""

from pyollama.engine.embedder import Embedder
from pyollama.engine.engine import Engine
from pyollama.engine.generation import AsyncGeneration, Generation
from pyollama.engine.model import Model
from pyollama.engine.options import (
    OPTIONS,
    LoadOptions,
    Options,
    OptionSpec,
    ResolvedOptions,
    SamplingOptions,
)
from pyollama.engine.request import GenerationRequest

__all__ = [
    "OPTIONS",
    "AsyncGeneration",
    "Embedder",
    "Engine",
    "Generation",
    "GenerationRequest",
    "LoadOptions",
    "Model",
    "OptionSpec",
    "Options",
    "ResolvedOptions",
    "SamplingOptions",
]
