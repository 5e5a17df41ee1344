"""The daemon's tasks, and how they end: faults are raised, waits have a limit, and each closing step is taken."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

log = logging.getLogger("edged")

FLUSH_S = 3.0
"""Longest wait for the sinks, and for the spool, at the end."""

LEAST_FLUSH_S = 0.5
"""Time that the sinks have at the end even when time is up: a slow card writes the last records within it."""


def flush_s(left_s: float) -> float:
    """Return how long the sinks may take when so much time is left."""
    return max(LEAST_FLUSH_S, min(FLUSH_S, left_s))


def start_task(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Start a task whose end the caller watches with `raise_faults`."""
    return asyncio.create_task(coroutine, name=name)


def raise_faults(*tasks: asyncio.Task[Any]) -> None:
    """Raise what ended a task: before a stop none ends, but by a fault of ours."""
    for task in tasks:
        if task.done():
            task.result()


async def wait_until(until_s: float, task: asyncio.Task[Any], hurry: asyncio.Task[Any]) -> bool:
    """Wait for a task until `until_s` (monotonic), or until `hurry` ends; return whether the task has ended."""
    left_s = until_s - time.monotonic()
    if left_s > 0 and not hurry.done():
        await asyncio.wait({task, hurry}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
    return task.done()


async def run_all(*steps: Callable[[], Awaitable[object]]) -> None:
    """Take the steps one after another; each must be bounded in time.

    Neither an exception nor a cancellation keeps the later steps from being taken. The first exception is raised after
    the last step.
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
