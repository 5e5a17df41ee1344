"""Hundreds of SIGKILLs at random moments: is a word lost, or written twice?

Real daemons in parallel, each with a virtual microphone whose room goes on while no process runs, a network that
breaks now and then, and a recogniser with all its unkindnesses, which knows every word. A word counts if it was said
while a process captured, up to two capture periods before a kill.

    .venv/bin/python bench/kills.py --kills 300 --parallel 8

The exit status is 0 if no word was lost or doubled, no sample is in two records, and every word has its time.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.kills.campaign import Campaign


def main() -> int:
    """Returns the exit status."""
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=300, help="of all instances together (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=8, help="daemons at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the plan; moments differ (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="a new directory for logs, spools and transcripts, which then stay")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edged-kills-") as temporary:
        directory: Path = arguments.keep or Path(temporary)
        begun_s = time.monotonic()
        campaign = Campaign(directory, arguments.kills, arguments.parallel, arguments.seed)
        outcomes = asyncio.run(campaign.run())
    for outcome in outcomes:
        print(outcome)
    print(
        f"{campaign.done.total()} kills in {time.monotonic() - begun_s:.0f} s:"
        f" {sum(o.verdict.expected for o in outcomes)} words expected,"
        f" {sum(len(o.verdict.lost) for o in outcomes)} lost, {sum(len(o.verdict.doubled) for o in outcomes)} doubled"
    )
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
