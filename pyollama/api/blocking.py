"""Blocking generators for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["iterate_in_thread"]

T = TypeVar("T")


async def iterate_in_thread(items: Iterator[T]) -> AsyncIterator[T]:
    """The items of an iterator whose steps block, each made in a thread of its own iteration.

    Whoever stops early waits for the step that runs; then a generator is closed, in that thread too.
    """
    loop = asyncio.get_running_loop()
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="job") as thread:
        try:
            while True:
                item = await loop.run_in_executor(thread, next, items, end)
                if item is end:
                    return
                yield item  # type: ignore[misc]
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                await asyncio.shield(loop.run_in_executor(thread, close))
