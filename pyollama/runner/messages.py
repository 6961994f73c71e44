"""What the server and a runner say to each other.

Each message is one frame: its length as four bytes, little-endian, then msgpack of one of these structs. Their
fields travel as an array, led by the tag; so both ends must be of the same version, which `Hello` makes sure of.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from pyollama.engine import Options
from pyollama.errors import InvalidRequest
from pyollama.prompt import Message

__all__ = [
    "MAX_FRAME",
    "PROTOCOL",
    "Cancel",
    "Done",
    "Failed",
    "FromRunner",
    "Generate",
    "Hello",
    "Load",
    "LoadFailed",
    "Loaded",
    "Piece",
    "Ping",
    "Pong",
    "Progress",
    "Shutdown",
    "Step",
    "ToRunner",
    "encode_frame",
]

PROTOCOL = 1
# Bytes of one frame: a prompt of a million tokens as text, many times over.
MAX_FRAME = 256 << 20

LogprobEntry: TypeAlias = tuple[int, float, bytes]


class _ToRunner(msgspec.Struct, frozen=True, array_like=True, tag=True):
    pass


class Load(_ToRunner, frozen=True, array_like=True, tag=True):
    """Load this model; the first message to a runner, and sent once.

    Args:
        path: The GGUF file.
        adapters: LoRA adapters.
        options: Load options, and nothing else that matters.
    """

    path: str
    adapters: tuple[str, ...] = ()
    options: Options = Options()


class Generate(_ToRunner, frozen=True, array_like=True, tag=True, kw_only=True):
    """Generate a text.

    Args:
        id: Chosen by the server; every answer carries it.
        messages: The conversation for the chat template, the model's own system message and history included.
        prompt: Instead of messages: a text for the model as it is.
        system: With ``context``: a system message for this turn; empty: none.
        context: Tokens of an earlier answer to go on from; then ``messages`` is the user's one message.
        options: Of the request and of the model, merged.
        format: Empty, ``json``, or the text of a JSON schema.
        logprobs: None, or how many alternatives to report with each token.
        truncate: Shorten a prompt that does not fit.
        shift: Whether a full context drops its older half and goes on.
        want_context: Whether `Done` shall have the tokens.
        other_template: The model has a prompt template of another kind, which is not known here: without a chat
            template in its file the answer would be wrong.
    """

    id: int
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    system: str = ""
    context: tuple[int, ...] = ()
    options: Options = Options()
    format: str = ""
    logprobs: int | None = None
    truncate: bool = True
    shift: bool = True
    want_context: bool = False
    other_template: bool = False


class Cancel(_ToRunner, frozen=True, array_like=True, tag=True):
    """End a request before its next micro-batch. One that has ended already is no error."""

    id: int


class Ping(_ToRunner, frozen=True, array_like=True, tag=True):
    """Answer with `Pong`, to show that you are not stuck."""


class Shutdown(_ToRunner, frozen=True, array_like=True, tag=True):
    """End every request and the process."""


class _FromRunner(msgspec.Struct, frozen=True, array_like=True, tag=True):
    pass


class Hello(_FromRunner, frozen=True, array_like=True, tag=True):
    """The first message of a runner."""

    protocol: int
    version: str


class Progress(_FromRunner, frozen=True, array_like=True, tag=True):
    """How much of the model is loaded, 0.0 to 1.0."""

    fraction: float


class Loaded(_FromRunner, frozen=True, array_like=True, tag=True, kw_only=True):
    """The model is ready.

    Args:
        n_ctx: Tokens of context of one request.
        n_parallel: Requests that run at the same time.
        n_threads: Threads that compute.
        size: Bytes in use: weights, cache and compute buffers.
        size_gpu: The part of them that is on a GPU.
        generates: Whether it writes text.
    """

    n_ctx: int
    n_parallel: int
    n_threads: int
    size: int
    size_gpu: int
    generates: bool


class LoadFailed(_FromRunner, frozen=True, array_like=True, tag=True):
    """The model could not be loaded; the runner ends. ``kind`` is the name of a class in `pyollama.errors`."""

    kind: str
    message: str


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """What one request has got since the step before.

    Args:
        id: Of the request.
        text: Whole characters; may be empty.
        logprobs: One entry for each token if they were asked for: the token chosen and the likeliest ones, each
            as id, natural logarithm of the probability and bytes.
    """

    id: int
    text: str
    logprobs: tuple[tuple[LogprobEntry, tuple[LogprobEntry, ...]], ...] = ()


class Step(_FromRunner, frozen=True, array_like=True, tag=True):
    """New pieces of many requests. What could not be sent at once is merged, one piece for each request."""

    pieces: tuple[Piece, ...]


class Done(_FromRunner, frozen=True, array_like=True, tag=True, kw_only=True):
    """A request has ended well.

    Args:
        id: Of the request.
        reason: ``stop`` or ``length``.
        stats: Counts and times (ns) as `pyollama.engine.Generation` reports them.
        context: Tokens of prompt and answer, if they were asked for.
        warnings: What of a schema could not be enforced.
        truncated_messages: Messages that were left out of the prompt.
        truncated_tokens: Tokens by which the prompt became shorter.
    """

    id: int
    reason: str
    stats: dict[str, int]
    context: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    truncated_messages: int = 0
    truncated_tokens: int = 0


class Failed(_FromRunner, frozen=True, array_like=True, tag=True):
    """A request has ended badly. ``kind`` is the name of a class in `pyollama.errors`."""

    id: int
    kind: str
    message: str


class Pong(_FromRunner, frozen=True, array_like=True, tag=True):
    """The runner is alive.

    Args:
        n_running: Requests that the engine works on.
        n_decoded: Tokens that it has computed since it was loaded; does it grow?
    """

    n_running: int
    n_decoded: int


ToRunner: TypeAlias = Load | Generate | Cancel | Ping | Shutdown
FromRunner: TypeAlias = Hello | Progress | Loaded | LoadFailed | Step | Done | Failed | Pong

_encode = msgspec.msgpack.Encoder().encode


def encode_frame(message: Any) -> bytes:
    """The frame of a message.

    Raises:
        InvalidRequest: It is larger than `MAX_FRAME`.
    """
    data = _encode(message)
    if len(data) > MAX_FRAME:
        raise InvalidRequest(f"the request has {len(data)} bytes, at most {MAX_FRAME} are allowed")
    return len(data).to_bytes(4, "little") + data
