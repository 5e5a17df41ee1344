"""Minutes or hours of all faults at once: is a word lost, or written twice, and does memory grow?

The real daemon hears a virtual microphone; network, recogniser, microphone, disks and the process itself fail again
and again, each by a plan of its own. In the end every word that was captured is asked for. The clock of this machine
is not set meanwhile: that is tested by simulated clocks.

    script/soak --minutes 30 --seed 1 --keep soak-1

The exit status is 0 if no word was lost or doubled, no sample is in two records, and every word has its time.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.kills.soak import MOST_MINUTES, Report, Sample, Soak

WIDTH, HEIGHT, MARGIN = 960, 220, 60


def main() -> int:
    """Returns the exit status."""
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="script/soak", description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="length of the recording (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the plan; moments differ (default: %(default)s)")
    parser.add_argument(
        "--keep", metavar="DIR", type=Path, help="a new directory for logs, transcripts and plot.svg, which then stay"
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
            (directory / "plot.svg").write_text(plot(report))
            (directory / "samples.json").write_text(json.dumps([sample._asdict() for sample in report.samples]))
    print(report)
    return 0 if report.good else 1


def plot(report: Report) -> str:
    """Memory and file descriptors over time, as SVG; a grey line at each start of a process."""
    samples = report.samples
    panels = [
        _panel(samples, [sample.rss_kb / 1024 for sample in samples], "resident memory, MB", 0, report.seconds),
        _panel(samples, [sample.descriptors for sample in samples], "file descriptors", 1, report.seconds),
    ]
    height = len(panels) * HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
        f' font-size="12"><rect width="{WIDTH}" height="{height}" fill="white"/>{"".join(panels)}</svg>\n'
    )


def _panel(samples: Sequence[Sample], values: Sequence[float], title: str, row: int, length_s: float) -> str:
    most = max(values, default=1) * 1.1
    bottom = (row + 1) * HEIGHT - 30
    high = HEIGHT - 60

    def at(sample: Sample, value: float) -> str:
        x = MARGIN + sample.at_s / length_s * (WIDTH - 2 * MARGIN)
        return f"{x:.1f},{bottom - value / most * high:.1f}"

    parts = [f'<text x="{MARGIN}" y="{row * HEIGHT + 20}" font-weight="bold">{escape(title)}</text>']
    for step in range(5):
        y = bottom - step / 4 * high
        parts.append(f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 8}" y="{y + 4:.1f}" text-anchor="end">{most * step / 4:.0f}</text>')
        x = MARGIN + step / 4 * (WIDTH - 2 * MARGIN)
        text = f"{length_s / 60 * step / 4:.1f} min"
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>')
    for start in sorted({sample.start for sample in samples}):
        mine = [(sample, value) for sample, value in zip(samples, values, strict=True) if sample.start == start]
        x = at(mine[0][0], 0).split(",")[0]
        parts.append(f'<line x1="{x}" x2="{x}" y1="{bottom - high}" y2="{bottom}" stroke="#bbb" stroke-width="0.5"/>')
        points = " ".join(at(sample, value) for sample, value in mine)
        parts.append(f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="1.5"/>')
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())
