"""The process around the daemon: an event loop of its own, and an owner for every fault."""

import asyncio
import ctypes
import gc
import threading
from collections.abc import Callable

from edged.config.api_key import ApiKey
from edged.config.settings import Settings
from edged.daemon.daemon import Daemon
from edged.daemon.summary import Summary
from edged.model.errors import ExitStatus
from edged.service.threads import DetachedThreads

M_ARENA_MAX = -8
"""Parameter of glibc's mallopt(3): the number of heaps."""

COLLECT_S = 600.0
"""Interval of full garbage collections, which give back the tuples that Python keeps for reuse.

Their lists grow for hours, to a megabyte or more: a `tuple()` of a generator takes from one list, and goes to another
when it dies. Only a full collection empties them, and Python itself makes none in an hour. Objects of the start are
frozen, so a collection takes a millisecond."""


def run(settings: Settings, key: ApiKey | None, on_end: Callable[[Summary], None]) -> ExitStatus:
    """Run the daemon in an event loop of its own. Raises a fault of ours in a callback or any thread."""
    _share_one_heap()
    daemon = Daemon(settings, key)

    async def main() -> ExitStatus:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(DetachedThreads())
        collect_regularly(loop.call_later)
        faults: list[BaseException] = []

        def failed(error: BaseException) -> None:
            faults.append(error)
            if len(faults) == 1:  # again would cut short what the first time began: the sinks' last records
                task.cancel()

        def on_exception(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
            error = context.get("exception")
            failed(error if isinstance(error, BaseException) else RuntimeError(str(context["message"])))

        def on_thread_exception(arguments: threading.ExceptHookArgs) -> None:
            loop.call_soon_threadsafe(failed, arguments.exc_value or RuntimeError("a thread ended badly"))

        loop.set_exception_handler(on_exception)
        task = asyncio.create_task(daemon.run(), name="daemon")
        threading.excepthook = on_thread_exception
        try:
            status = await task
        except asyncio.CancelledError:
            if not faults:
                raise
        finally:
            threading.excepthook = threading.__excepthook__
        if faults:
            raise faults[0]
        return status

    status = asyncio.run(main())
    on_end(daemon.summary)
    return status


def collect_regularly(call_later: Callable[[float, Callable[[], None]], object]) -> None:
    """Collect garbage every `COLLECT_S`; `call_later` is the loop's."""

    def collect() -> None:
        if gc.get_freeze_count():
            gc.collect()
        else:
            gc.freeze()
        call_later(COLLECT_S, collect)

    call_later(COLLECT_S, collect)


def _share_one_heap() -> None:
    """Have all threads share one heap, which saves a megabyte of resident memory; call it before there are threads.

    glibc gives each thread a heap of its own, so that none waits for another. Python runs one at a time anyway, and
    each heap keeps what it once held.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # musl has none, and no such heaps
        mallopt(M_ARENA_MAX, 1)
