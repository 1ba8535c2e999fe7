"""Long work on a log: some of it at a time, with a bar."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, TypeVar

_AT_ONCE: Final = 8

_T = TypeVar("_T")

Advance = Callable[[int], None]

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Begins a bar: what is done, and how many pieces there are to it."""


def unseen(_what: str, _count: int) -> AbstractContextManager[Advance]:
    """No bar."""
    return nullcontext(lambda _step: None)


async def each(items: Iterable[_T], work: Callable[[_T], Awaitable[None]]) -> None:
    """Some at a time, begun in order; the first failure ends the others."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await work(item)

    tasks = [asyncio.create_task(take()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
