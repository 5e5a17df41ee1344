"""The tests of this folder run in real time, so all that were selected run at once, in one event loop.

Each is a coroutine with a `stage` of its own; nothing else is shared but the two processors.
"""

import asyncio
import inspect
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage

HERE = Path(__file__).parent
OUTCOMES = pytest.StashKey[dict[str, BaseException | None]]()


@pytest.fixture
def stage() -> None:
    """Declare the fixture's name only: the hook below gives each test its own Stage."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """The first test that is due runs them all; each then tells its own outcome."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    session = pyfuncitem.session
    if OUTCOMES not in session.stash:
        temporary = pyfuncitem._request.getfixturevalue("tmp_path_factory")
        items = [
            item
            for item in session.items
            if isinstance(item, pytest.Function) and HERE in item.path.parents and inspect.iscoroutinefunction(item.obj)
        ]
        session.stash[OUTCOMES] = asyncio.run(_run_all(items, temporary))
    error = session.stash[OUTCOMES][pyfuncitem.nodeid]
    if error is not None:
        raise error
    return True


async def _run_all(items: list[pytest.Function], temporary: pytest.TempPathFactory) -> dict[str, BaseException | None]:
    async def run(item: pytest.Function) -> None:
        arguments = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        async with Stage(temporary.mktemp(item.originalname)) as stage:
            await item.obj(**arguments, stage=stage)

    results = await asyncio.gather(*map(run, items), return_exceptions=True)
    return {item.nodeid: result for item, result in zip(items, results, strict=True)}
