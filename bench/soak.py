"""Minutes or hours of all faults at once: is a word lost, or written twice, and does memory grow?

The real daemon hears a virtual microphone; network, recogniser, microphone, disks and the process itself fail again
and again, each by a plan of its own, and the daemon's clock is set. In the end every word that was captured is asked
for. In the last third the process is not killed any more: there the plot shows what grows with its age.

    script/soak --minutes 30 --seed 1 --keep soak-1

The exit status is 0 if no word was lost or doubled, no sample is in two records, and every word has its time.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.kills.plot import plot
from tests.kills.soak import MOST_MINUTES, Soak

PLOT = Path(__file__).parents[1] / ".cache" / "soak.svg"


def main() -> int:
    """Returns the exit status."""
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="script/soak", description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="length of the recording (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the plan; moments differ (default: %(default)s)")
    parser.add_argument(
        "--keep", metavar="DIR", type=Path, help="a new directory for logs, transcripts and samples, which then stay"
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        type=Path,
        default=PLOT,
        help="where memory and file descriptors over time are drawn (default: .cache/soak.svg)",
    )
    arguments = parser.parse_args()
    if not 0.5 <= arguments.minutes <= MOST_MINUTES:
        parser.error(f"--minutes is from 0.5 to {MOST_MINUTES:g}: there are words for no longer")
    with tempfile.TemporaryDirectory(prefix="edged-soak-") as temporary:
        directory: Path = arguments.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        print(f"{arguments.minutes:g} minutes of speech and trouble, seed {arguments.seed} ...", flush=True)
        report = asyncio.run(Soak(directory, arguments.minutes, arguments.seed).run())
        if arguments.keep:
            (directory / "samples.json").write_text(json.dumps([sample._asdict() for sample in report.samples]))
    arguments.plot.write_text(plot(report))
    print(f"{report}\nmemory and file descriptors over time: {arguments.plot}")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
