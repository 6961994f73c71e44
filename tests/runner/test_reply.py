"""What waits for a reader."""

from __future__ import annotations

import asyncio

import pytest

from pyollama.errors import Cancelled, EngineError
from pyollama.runner import Done, Piece, Reply
from pyollama.runner.reply import MOST_WAITING


def test_pieces_are_merged() -> None:
    """Catches text or log-probabilities that are lost or come in another order."""

    async def main() -> None:
        reply = Reply(1, lambda: None)
        entry = ((5, -0.5, b"a"), ())
        reply.put(Piece(1, "a", (entry,)))
        reply.put(Piece(1, "b", (entry, entry)))
        reply.finish(Done(id=1, reason="stop", stats={}))
        assert [piece async for piece in reply] == [Piece(1, "ab", (entry,) * 3)]
        assert reply.done.reason == "stop"

    asyncio.run(main())


def test_what_waits_is_bounded() -> None:
    """Catches memory that grows for a client who does not read, and a request that goes on for nobody."""

    async def main() -> None:
        cancelled: list[bool] = []
        ended: list[bool] = []
        reply = Reply(1, lambda: cancelled.append(True))
        reply.when_ended(lambda: ended.append(True))
        for _ in range(10_000):
            reply.put(Piece(1, "x" * 1000))
        assert cancelled == ended == [True]
        received = 0
        with pytest.raises(Cancelled, match="too slowly"):
            async for piece in reply:
                received += len(piece.text)
        assert MOST_WAITING < received <= MOST_WAITING + 1000

    asyncio.run(main())


def test_the_end_comes_once() -> None:
    """Catches an end that is reported twice, or a cancel of what has ended."""

    async def main() -> None:
        cancelled: list[bool] = []
        ended: list[bool] = []
        reply = Reply(1, lambda: cancelled.append(True))
        reply.when_ended(lambda: ended.append(True))
        reply.finish(Done(id=1, reason="stop", stats={}))
        reply.fail(EngineError("too late"))
        reply.close()
        assert [piece async for piece in reply] == []
        assert (cancelled, ended) == ([], [True])
        late: list[bool] = []
        reply.when_ended(lambda: late.append(True))
        assert late == [True]

    asyncio.run(main())
