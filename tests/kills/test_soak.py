"""Three minutes of all faults at once. `script/soak` does the same for longer."""

import asyncio
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.kills.plot import plot
from tests.kills.soak import Soak


@pytest.mark.slow
@pytest.mark.usefixtures("microphone")
def test_all_faults_at_once_lose_no_word_and_double_none(tmp_path: Path) -> None:
    """Network, recogniser, microphone, disks, clock and the process, each failing by a plan of its own."""
    report = asyncio.run(Soak(tmp_path, minutes=3, seed=1).run())
    assert report.good, report
    assert report.verdict.expected > 50, "hardly a word was asked for"
    assert report.faults.total() > 40, "hardly anything went wrong"
    last = [sample.descriptors for sample in report.samples if sample.start == report.starts]
    assert last[-1] <= min(last[:20]) + 8, f"file descriptors leak: {last}"
    picture = ElementTree.fromstring(plot(report))
    lines = picture.findall("{*}polyline")
    assert len(lines) == 3 * len({sample.start for sample in report.samples}), "a line for each process"
    if report.without:
        pytest.skip(f"all was well, but without {', '.join(report.without)}")
