"""A process that is killed at any moment loses nothing but two capture periods, and writes nothing twice.

`bench/kills.py` does the same with hundreds of kills.
"""

import asyncio
from pathlib import Path

import pytest

from tests.kills.campaign import Campaign

KILLS = 24


@pytest.mark.slow
@pytest.mark.usefixtures("microphone")
def test_killed_at_random_moments_it_loses_no_word_and_doubles_none(tmp_path: Path) -> None:
    """Kills come while connected, in an outage, and while the daemon recovers from the kill before."""
    campaign = Campaign(tmp_path, KILLS, parallel=6, seed=1)
    outcomes = asyncio.run(campaign.run())
    assert all(outcome.good for outcome in outcomes), "\n".join(map(str, outcomes))
    assert campaign.done.total() == KILLS
    assert sum(outcome.verdict.expected for outcome in outcomes) > KILLS, "hardly a word was asked for"
