"""What the environment says about a server."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from pyollama.errors import InvalidRequest
from pyollama.settings.address import ServerAddress, strip_quotes
from pyollama.settings.keep_alive import read_keep_alive

__all__ = ["BUILT_IN_ORIGINS", "Settings"]

log = logging.getLogger("pyollama")

T = TypeVar("T")

# Web pages of this machine, and applications that show a page of their own.
BUILT_IN_ORIGINS = (
    *(
        f"{scheme}://{host}{port}"
        for host in ("localhost", "127.0.0.1", "0.0.0.0")
        for port in ("", ":*")
        for scheme in ("http", "https")
    ),
    *(f"{scheme}://*" for scheme in ("app", "file", "tauri", "vscode-webview", "vscode-file")),
)

DEFAULT_SECONDS = 300.0
DEFAULT_QUEUE = 512
# More than any of these counts can mean, and the largest that every layer below can hold.
MAX_COUNT = 2**31 - 1

_TRUE = frozenset(["1", "t", "T", "TRUE", "true", "True"])
_FALSE = frozenset(["0", "f", "F", "FALSE", "false", "False"])
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a server.

    Args:
        address: Where it listens.
        origins: Web origins whose pages may use it, ``*`` standing for anything: those of ``OLLAMA_ORIGINS``, then
            the built-in ones.
        keep_alive: Seconds that a model stays loaded after its last request; ``math.inf``: for ever.
        context_length: Tokens of a context when neither request nor model says; 0: chosen by memory.
        max_queue: Requests that may wait; one more is refused.
        max_loaded_models: Models loaded at a time; 0: chosen by memory.
        num_parallel: Requests that one model answers at a time; 0: chosen by memory.
        load_timeout: Seconds that loading may stand still; ``math.inf``: for ever.
        noprune: Keep blobs that no model uses.
        debug: Log details.

    Example::

        Settings.from_environment({"OLLAMA_HOST": ":8080", "OLLAMA_KEEP_ALIVE": "-1"})
    """

    address: ServerAddress = ServerAddress()
    origins: tuple[str, ...] = BUILT_IN_ORIGINS
    keep_alive: float = DEFAULT_SECONDS
    context_length: int = 0
    max_queue: int = DEFAULT_QUEUE
    max_loaded_models: int = 0
    num_parallel: int = 0
    load_timeout: float = DEFAULT_SECONDS
    noprune: bool = False
    debug: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the ``OLLAMA_`` variables. One that is not set, empty or cannot be used gives the default.

        A value that cannot be used is logged as a warning.
        """

        def read(name: str, reader: Callable[[str], T], default: T) -> T:
            text = strip_quotes(environment.get(name, ""))
            if not text:
                return default
            try:
                return reader(text)
            except InvalidRequest as error:
                log.warning("%s=%.200r is not used: %s", name, text, error)
                return default

        return cls(
            address=read("OLLAMA_HOST", ServerAddress.parse, ServerAddress()),
            origins=read("OLLAMA_ORIGINS", _origins, BUILT_IN_ORIGINS),
            keep_alive=read("OLLAMA_KEEP_ALIVE", _seconds, DEFAULT_SECONDS),
            context_length=read("OLLAMA_CONTEXT_LENGTH", _count, 0),
            max_queue=read("OLLAMA_MAX_QUEUE", _count, DEFAULT_QUEUE),
            max_loaded_models=read("OLLAMA_MAX_LOADED_MODELS", _count, 0),
            num_parallel=read("OLLAMA_NUM_PARALLEL", _count, 0),
            load_timeout=read("OLLAMA_LOAD_TIMEOUT", _timeout, DEFAULT_SECONDS),
            noprune=read("OLLAMA_NOPRUNE", _flag, False),
            debug=read("OLLAMA_DEBUG", _debug, False),
        )


def _flag(text: str) -> bool:
    # Whatever somebody writes who wants a thing is true: "yes", "on".
    return text not in _FALSE


def _debug(text: str) -> bool:
    """A flag, or a number of steps: what is above 0 says more."""
    if text in _TRUE or text in _FALSE or not _INTEGER.fullmatch(text):
        return _flag(text)
    return int(text) > 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= MAX_COUNT):
        raise InvalidRequest(f"it must be a whole number from 0 to {MAX_COUNT}")
    return int(text)


def _seconds(text: str) -> float:
    """Seconds as an integer, or a duration; negative: for ever."""
    return read_keep_alive(int(text) if _INTEGER.fullmatch(text) else text)


def _timeout(text: str) -> float:
    return _seconds(text) or math.inf


def _origins(text: str) -> tuple[str, ...]:
    origins = []
    for origin in filter(None, (part.strip() for part in text.split(","))):
        # Browsers send a scheme, so an origin without one would never match, and nobody would know why.
        if "*" in origin or "://" in origin:
            origins.append(origin)
        else:
            log.warning(
                "OLLAMA_ORIGINS: %.200r is not used: it needs a scheme, as in http://%s", origin, origin[:200]
            )
    return tuple(dict.fromkeys([*origins, *BUILT_IN_ORIGINS]))
