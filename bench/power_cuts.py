"""Power cuts of a virtual machine: is more lost than was promised, or anything written twice?

Debian boots in qemu with edged as its service; it hears speech through the kernel's own loop-back card, and a
recogniser of this machine answers it. qemu is killed in an outage, while an outage is caught up with, in mid-speech and
just after a record; then the machine boots from the same disk. At the end every word is compared.

    .venv/bin/python bench/power_cuts.py --cuts 10

`spool.to_disk_s` is 6 instead of 30, so that outages are short. The exit status is 0 if no more was lost than was
promised, nothing came twice, and every word has its time.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.vm import disk
from tests.vm.account import Balance, table
from tests.vm.cuts import MOMENTS, Cuts, Durability
from tests.vm.machine import accelerator


async def campaign(cuts: int, seed: int) -> list[Balance]:
    """Half of them with each durability, at the same time."""
    made = await asyncio.to_thread(disk.disk)
    with tempfile.TemporaryDirectory(prefix="edged-cuts-") as directory:
        shares: tuple[tuple[Durability, int], ...] = (("power", (cuts + 1) // 2), ("process", cuts // 2))
        runs = [
            Cuts(made, Path(directory), durability, list(islice(cycle(MOMENTS), share)), seed)
            for durability, share in shares
        ]
        return await asyncio.gather(*(run.run(lambda line: print(line, flush=True)) for run in runs))


def main() -> int:
    """Returns the exit status."""
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cuts", type=int, default=12, help="of both machines together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the plan; moments differ (default: %(default)s)")
    arguments = parser.parse_args()
    if reason := disk.needed():
        print(f"power_cuts: {reason}", file=sys.stderr)
        return 1
    begun_s = time.monotonic()
    balances = asyncio.run(campaign(arguments.cuts, arguments.seed))
    rows = [row for balance in balances for row in balance.rows]
    print(f"\n{table(balances)}\n")
    print(
        f"{sum(bool(row.life.when) for row in rows)} power cuts in {time.monotonic() - begun_s:.0f} s"
        f" ({accelerator()}): {sum(row.expected for row in rows)} words said, {sum(len(row.lost) for row in rows)} lost"
        f" ({sum(not row.good for row in rows)} times more than was promised),"
        f" {sum(len(row.doubled) for row in rows)} doubled"
    )
    return 0 if all(balance.good for balance in balances) else 1


if __name__ == "__main__":
    sys.exit(main())
