"""What users may import. A name that is missing breaks their programs; a new one is a promise."""

from __future__ import annotations

import importlib

import pytest

from pyollama import errors

NAMES = {
    "pyollama": ["LLM", "__version__", *errors.__all__],
    "pyollama.llm": [
        *("LLM", "AsyncStream", "ChatCompletion", "Chunk", "Completion"),
        *("Logprob", "Stats", "Stream"),
    ],
    "pyollama.engine": [
        *("OPTIONS", "AsyncGeneration", "Embedder", "Engine", "Generation", "GenerationRequest"),
        *("LoadOptions", "Model", "OptionSpec", "Options", "ResolvedOptions", "SamplingOptions"),
    ],
    "pyollama.prompt": ["ChatTemplate", "Constraint", "Format", "Message", "grammar_of"],
    "pyollama.gguf": [
        *("FILE_TYPES", "TENSOR_TYPES", "GGUFArray", "GGUFHeader", "SplitInfo", "TensorInfo", "TensorType"),
    ],
    "pyollama.store": [
        *("Digest", "Layer", "Manifest", "MediaType", "Message", "ModelConfig", "ModelName", "Store"),
        "StoredModel",
    ],
    "pyollama.settings": [
        *("ServerAddress", "Settings", "format_duration", "parse_duration", "read_keep_alive"),
    ],
    "pyollama.create": ["CreateRequest", "Progress", "create_model"],
    "pyollama.runner": ["Done", "Generate", "Load", "Loaded", "Piece", "Reply", "Runner"],
    "pyollama.scheduler": ["Lease", "LoadedModel", "ModelFiles", "Scheduler"],
    "pyollama.api": ["Answer", "ApiError", "Service", "http_error"],
    "pyollama.server": ["GRACE_SECONDS", "Application", "make_app", "serve", "serve_service"],
    "pyollama.cli": ["main"],
    "pyollama.native": ["LIBRARY_DIR"],
}


@pytest.mark.parametrize("module", NAMES)
def test_public_names(module: str) -> None:
    """Would catch a name that comes or goes by accident."""
    imported = importlib.import_module(module)
    assert sorted(imported.__all__) == sorted(NAMES[module])
    for name in imported.__all__:
        assert hasattr(imported, name)


def test_public_objects_are_documented() -> None:
    """Would catch a public class or function that nobody explains."""
    for module, names in NAMES.items():
        imported = importlib.import_module(module)
        assert imported.__doc__
        for name in names:
            value = getattr(imported, name)
            if isinstance(value, type) or callable(value):
                assert value.__doc__, f"{module}.{name}"
