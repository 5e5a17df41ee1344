"""Real power cuts: no more is lost than docs/reliability.md promises, and nothing comes twice.

More of them, as a measurement: `script/bench power_cuts`.
"""

import asyncio
from pathlib import Path

import pytest

from tests.vm.account import table
from tests.vm.cuts import MOMENTS, Cuts
from tests.vm.disk import Disk

CUTS = 3
"""Cuts of each machine: in an outage, while it is caught up with, in mid-speech."""


@pytest.mark.slow
def test_power_cuts_cost_no_more_than_was_promised(made: Disk, tmp_path: Path) -> None:
    """With either `spool.durability`; nothing twice, every word with its time, every sample in one record."""

    async def both() -> None:
        runs = [Cuts(made, tmp_path, durability, MOMENTS[:CUTS], 1) for durability in ("power", "process")]
        balances = await asyncio.gather(*(run.run() for run in runs))
        assert all(balance.good for balance in balances), f"\n{table(balances)}"

    asyncio.run(both())
