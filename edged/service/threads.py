"""Threads for calls that can hang: the process does not wait for them when it ends."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DetachedThreads(ThreadPoolExecutor):
    """Executor that gives each call a thread of its own, which the end of the process leaves behind.

    Use it with `loop.set_default_executor`. A name look-up hangs for minutes when the resolver does not answer, and a
    sound driver for ever. The event loop and the interpreter wait for the usual pool when they end.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in a new thread; see `Executor.submit`."""
        future: Future[T] = Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001  the caller gets it, whatever it is
                    future.set_exception(error)

        threading.Thread(target=call, name=getattr(fn, "__name__", "call"), daemon=True).start()
        return future
