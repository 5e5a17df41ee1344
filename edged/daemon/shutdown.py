"""Closing in order: each step is taken, whatever became of the one before."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger("edged")

FLUSH_S = 3.0
LEAST_FLUSH_S = 0.5
"""For the sinks at the end: a slow card writes the last records within this; some of it even when time is up."""


def flush_s(left_s: float) -> float:
    """How long the sinks may take when so much time is left."""
    return max(LEAST_FLUSH_S, min(FLUSH_S, left_s))


async def run_all(*steps: Callable[[], Awaitable[object]]) -> None:
    """Take the steps one after another; each must be bounded in time.

    Neither an exception nor a cancellation keeps the later ones from being taken: what was raised first is raised
    after the last.
    """
    closing = asyncio.create_task(_take(steps), name="closing")
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await closing
        raise


async def _take(steps: tuple[Callable[[], Awaitable[object]], ...]) -> None:
    first: Exception | None = None
    for step in steps:
        try:
            await step()
        except Exception as error:  # raised below, or logged: none is lost
            if first:
                log.exception("one more fault while closing")
            first = first or error
    if first:
        raise first
