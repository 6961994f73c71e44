"""Every exception that pyollama raises on purpose.

::

    Error
    ├── InvalidRequest               (ValueError)         something in the call cannot be valid
    │   ├── OptionError                                   an option: wrong type or out of range
    │   ├── InvalidModelName                              a text that cannot be a model name
    │   ├── ContextLengthExceeded                         more tokens than the context holds
    │   ├── GrammarError                                  a grammar or schema that cannot be compiled
    │   └── TemplateError                                 a chat or prompt template that cannot be used
    ├── ModelNotFound                (FileNotFoundError)  no model of that name, no file at that path
    ├── InvalidModelFile                                  a GGUF file refused before native code saw it
    ├── ModelLoadError                                    the native loader or its memory failed
    ├── Unsupported                                       this model or this build cannot do it
    ├── Closed                       (RuntimeError)       use after close()
    ├── Cancelled                                         the request was cancelled before it ended
    ├── EngineError                  (RuntimeError)       the engine failed while it was running
    ├── ServerBusy                                        too many requests wait already
    └── StoreError                                        the model directory is damaged or unreadable
        ├── InvalidManifest                               a manifest that cannot be used
        └── InvalidDigest            (ValueError)         a text that is not a sha256 digest

``except pyollama.Error`` catches all of them. Errors of the operating system that are nobody's mistake here
(no permission, disk full) stay the ``OSError`` that Python raised.

Each one can be made from its message alone; what else it knows is in attributes. So it survives ``pickle``
and ``copy``, and a message that came from another process can be raised again.
"""

from __future__ import annotations

import os

__all__ = [
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
]


class Error(Exception):
    """Base of every exception that pyollama raises on purpose. ``message`` is its text."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        # OSError and KeyError, which some subclasses mix in, would print something else.
        return self.message


class InvalidRequest(Error, ValueError):
    """Raised when a call carries something that can never be valid, whatever the model and the moment."""


class OptionError(InvalidRequest):
    """Raised when an option has the wrong type or lies outside its range.

    Args:
        message: What is wrong; names the option.
        option: Name of the option, such as ``"num_ctx"``.
        value: The value that was refused.
    """

    def __init__(self, message: str = "", *, option: str = "", value: object = None) -> None:
        super().__init__(message)
        self.option = option
        self.value = value


class InvalidModelName(InvalidRequest):
    """Raised when a text cannot be a model name. ``name`` is the text as it was given."""

    def __init__(self, message: str = "", *, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class ContextLengthExceeded(InvalidRequest):
    """Raised when an input does not fit the context and may not be truncated.

    Args:
        message: What is wrong.
        n_tokens: Tokens of the input.
        n_ctx: Tokens that the context holds.
    """

    def __init__(self, message: str = "", *, n_tokens: int = 0, n_ctx: int = 0) -> None:
        super().__init__(message)
        self.n_tokens = n_tokens
        self.n_ctx = n_ctx


class GrammarError(InvalidRequest):
    """Raised when a grammar or a JSON schema cannot be compiled, or takes too long to compile."""


class TemplateError(InvalidRequest):
    """Raised when a prompt or chat template cannot be parsed, fails, or exceeds its time or output limit."""


class ModelNotFound(Error, FileNotFoundError):
    """Raised when no model has the given name, or no file is at the given path.

    Args:
        message: What is missing.
        name: The name or path that was asked for.
    """

    def __init__(self, message: str = "", *, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class InvalidModelFile(Error):
    """Raised when a file is not a GGUF file that can be loaded. Nothing native has read it.

    Args:
        message: What is wrong; starts with the path.
        path: The file.
        reason: What is wrong, without the path.
    """

    def __init__(self, message: str = "", *, path: str | os.PathLike[str] = "", reason: str = "") -> None:
        super().__init__(message or f"{os.fspath(path)}: {reason}")
        self.path = os.fspath(path)
        self.reason = reason or message


class ModelLoadError(Error):
    """Raised when a model file that passed the header check could not be loaded, for lack of memory say.

    Args:
        message: What failed.
        log: The last lines that the native loader printed, oldest first.
    """

    def __init__(self, message: str = "", *, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = tuple(log)


class Unsupported(Error):
    """Raised when the model or this build cannot do what was asked, such as text from an embedding model."""


class Closed(Error, RuntimeError):
    """Raised when a model, an engine or a request is used after it was closed."""


class Cancelled(Error):
    """Raised to whoever waits for a request that was cancelled before it ended."""


class EngineError(Error, RuntimeError):
    """Raised when the engine failed while it was running: a decode call failed, or its process ended."""


class ServerBusy(Error):
    """Raised when as many requests wait as may; try again later."""


class StoreError(Error):
    """Raised when a model cannot be read from its directory: a blob is missing or has the wrong size."""


class InvalidManifest(StoreError):
    """Raised when a manifest is too large, is not valid JSON or lacks what it must have."""


class InvalidDigest(StoreError, ValueError):
    """Raised when a text is not exactly ``sha256:`` and 64 lower-case hexadecimal digits.

    Args:
        message: What is wrong.
        digest: The text.
    """

    def __init__(self, message: str = "", *, digest: str = "") -> None:
        super().__init__(message)
        self.digest = digest
