"""Threads for calls that can hang: nobody waits for them at the end."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DetachedThreads(ThreadPoolExecutor):
    """For `loop.set_default_executor`: each call has a thread of its own, which the process's end leaves behind.

    A name look-up hangs for minutes when the resolver does not answer, and a sound driver for ever. The usual pool is
    waited for, by the event loop's end and by the interpreter's.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `Executor.submit`."""
        future: Future[T] = Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001  whatever it is, it is for who asked
                    future.set_exception(error)

        threading.Thread(target=call, name=getattr(fn, "__name__", "call"), daemon=True).start()
        return future
