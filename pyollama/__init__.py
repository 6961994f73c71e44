"""A local LLM runtime: llama.cpp in your Python process.

>>> from pyollama import LLM
>>> with LLM("tiny") as llm:
...     print(llm.generate("Why is the sky blue?").text)

Importing this package loads no native code; that happens at the first use of a name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

try:
    from . import _build as _build
except ImportError:  # not ModuleNotFoundError: "from . import" says "cannot import name" for a missing module
    # CMake writes _build.py at installation, so a source tree has none.
    from ._uncompiled import message

    raise ImportError(message()) from None

if TYPE_CHECKING:
    from .errors import (
        Cancelled as Cancelled,
    )
    from .errors import (
        Closed as Closed,
    )
    from .errors import (
        ContextLengthExceeded as ContextLengthExceeded,
    )
    from .errors import (
        EngineError as EngineError,
    )
    from .errors import (
        Error as Error,
    )
    from .errors import (
        GrammarError as GrammarError,
    )
    from .errors import (
        InvalidDigest as InvalidDigest,
    )
    from .errors import (
        InvalidManifest as InvalidManifest,
    )
    from .errors import (
        InvalidModelFile as InvalidModelFile,
    )
    from .errors import (
        InvalidModelName as InvalidModelName,
    )
    from .errors import (
        InvalidRequest as InvalidRequest,
    )
    from .errors import (
        ModelLoadError as ModelLoadError,
    )
    from .errors import (
        ModelNotFound as ModelNotFound,
    )
    from .errors import (
        OptionError as OptionError,
    )
    from .errors import (
        ServerBusy as ServerBusy,
    )
    from .errors import (
        StoreError as StoreError,
    )
    from .errors import (
        TemplateError as TemplateError,
    )
    from .errors import (
        Unsupported as Unsupported,
    )
    from .llm import LLM as LLM

# Public name -> the module that has it. Imported at first use, so that "pyollama --version" and a program
# that only wants one part do not pay for the rest.
_LAZY = {
    "LLM": ".llm",
    "Cancelled": ".errors",
    "Closed": ".errors",
    "ContextLengthExceeded": ".errors",
    "EngineError": ".errors",
    "Error": ".errors",
    "GrammarError": ".errors",
    "InvalidDigest": ".errors",
    "InvalidManifest": ".errors",
    "InvalidModelFile": ".errors",
    "InvalidModelName": ".errors",
    "InvalidRequest": ".errors",
    "ModelLoadError": ".errors",
    "ModelNotFound": ".errors",
    "OptionError": ".errors",
    "ServerBusy": ".errors",
    "StoreError": ".errors",
    "TemplateError": ".errors",
    "Unsupported": ".errors",
}

__all__ = [
    "LLM",
    "Cancelled",
    "Closed",
    "ContextLengthExceeded",
    "EngineError",
    "Error",
    "GrammarError",
    "InvalidDigest",
    "InvalidManifest",
    "InvalidModelFile",
    "InvalidModelName",
    "InvalidRequest",
    "ModelLoadError",
    "ModelNotFound",
    "OptionError",
    "ServerBusy",
    "StoreError",
    "TemplateError",
    "Unsupported",
    "__version__",
]


def __getattr__(name: str) -> Any:
    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(module, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
