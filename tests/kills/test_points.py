"""Death at each step of storing, delivering, moving and recovering: every word is there once afterwards.

What died is `tests.kills.die`: the daemon with one function wrapped, so that no hook for tests is in the product.
"""

import asyncio

import pytest

from tests.journald import Journald
from tests.kills.die import POINTS
from tests.kills.points import Death, die_everywhere


@pytest.fixture(scope="module")
def deaths(tmp_path_factory: pytest.TempPathFactory, microphone: object) -> dict[str, Death | Exception | str]:
    """All of them, some at a time; the reason where one can't be had here."""
    try:
        journald, reason = Journald(), ""
    except pytest.skip.Exception as skipped:
        journald, reason = None, str(skipped)
    try:
        found = asyncio.run(die_everywhere(tmp_path_factory.mktemp("points"), journald))
    finally:
        if journald:
            journald.end()
    return {name: found.get(name, reason) for name in POINTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in POINTS if name != "never"])
def test_after_a_death_there_every_word_is_there_once(name: str, deaths: dict[str, Death | Exception | str]) -> None:
    death = deaths[name]
    if isinstance(death, str):
        pytest.skip(death)
    if isinstance(death, Exception):
        raise death
    assert death.verdict.good, death
    assert not death.faults, death.faults
    assert death.journal is None or death.journal.good, death
    assert death.verdict.expected > 10, "hardly a word was asked for"
