"""Memory, file descriptors and threads of a soak over time, as a picture (SVG)."""

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby

from tests.kills.soak import Report, Sample

WIDTH, HEIGHT, MARGIN = 960, 190, 60
STEPS = 4
"""The minimum number of intervals of an axis."""


def plot(report: Report) -> str:
    """A panel for each; a grey line at each start of a process."""
    panels: dict[str, list[float]] = {
        "resident memory, MB": [sample.rss_kb / 1024 for sample in report.samples],
        "file descriptors": [sample.descriptors for sample in report.samples],
        "threads": [sample.threads for sample in report.samples],
    }
    minutes = report.seconds / 60
    drawn = "".join(
        panel(report.samples, values, title, row, minutes) for row, (title, values) in enumerate(panels.items())
    )
    height = HEIGHT * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
        f' font-size="12"><rect width="{WIDTH}" height="{height}" fill="white"/>{drawn}</svg>\n'
    )


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to `most`, 4 to 10 beside the 0."""
    power = 10.0 ** math.floor(math.log10(most / STEPS))
    step = power * max(times for times in (1, 2, 2.5, 5) if times * power <= most / STEPS)
    return [number * step for number in range(int(most / step) + 1)]


def panel(samples: Sequence[Sample], values: Sequence[float], title: str, row: int, minutes: float) -> str:
    """One value over time, with its axes."""
    most = max(values, default=1) * 1.05
    top, bottom = row * HEIGHT + 30, (row + 1) * HEIGHT - 30
    right = WIDTH - MARGIN

    def x(at_s: float) -> float:
        return MARGIN + at_s / 60 / minutes * (right - MARGIN)

    def y(value: float) -> float:
        return bottom - value / most * (bottom - top)

    parts = [f'<text x="{MARGIN}" y="{top - 10}" font-weight="bold">{escape(title)}</text>']
    for value in ticks(most):
        parts += [
            f'<line x1="{MARGIN}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>',
            f'<text x="{MARGIN - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>',
        ]
    for minute in ticks(minutes):
        parts.append(f'<text x="{x(minute * 60):.1f}" y="{bottom + 18}" text-anchor="middle">{minute:g} min</text>')
    for _, life in groupby(zip(samples, values, strict=True), lambda each: each[0].start):
        points = [(x(sample.at_s), y(value)) for sample, value in life]
        began = f"{points[0][0]:.1f}"
        line = " ".join(f"{across:.1f},{up:.1f}" for across, up in points)
        parts += [
            f'<line x1="{began}" x2="{began}" y1="{top}" y2="{bottom}" stroke="#bbb" stroke-width="0.5"/>',
            f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="1.5"/>',
        ]
    return "".join(parts)
