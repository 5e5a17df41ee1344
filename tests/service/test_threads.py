"""Calls in threads that nobody waits for."""

import asyncio
import threading

import pytest

from edged.service.threads import DetachedThreads


def test_results_and_errors_come_back() -> None:
    """Futures carry results and errors as those of any executor do."""

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(DetachedThreads())
        assert await asyncio.to_thread(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 7, 0)

    asyncio.run(main())


def test_the_loops_end_does_not_wait_for_a_call_that_hangs() -> None:
    """Nor does the interpreter's: its thread is a daemon."""
    release, thread = threading.Event(), []

    def hang() -> None:
        thread.append(threading.current_thread())
        release.wait()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(DetachedThreads())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.run_in_executor(None, hang), 0.01)

    asyncio.run(main())
    assert thread[0].is_alive()
    assert thread[0].daemon
    release.set()
    thread[0].join()
