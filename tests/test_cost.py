"""The cost of edged stays within its bounds: instructions of the pure chain; and the measurements are right."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from bench.cost import days, growth, instructions, moments, page, usage
from bench.cost.subjects import ALL
from edged.stream.word_history import MAX_WORDS

TOLERANCE = 0.05
"""Tolerance on the recorded instructions, with the interpreter that they were recorded with."""
ELSEWHERE = 0.3
"""Tolerance on another build: the count is compared with a plain loop, as builds differ."""


@pytest.mark.slow
def test_the_pure_chain_takes_as_many_instructions_as_it_did() -> None:
    """More: something has become dearer. Fewer: well done; renew it by `script/bench run --only instructions`."""
    build, held = instructions.recorded()
    counted = instructions.count()
    if build == instructions.build():
        assert counted.speech_k == pytest.approx(held.speech_k, rel=TOLERANCE)
        assert counted.silence_k == pytest.approx(held.silence_k, rel=TOLERANCE)
    else:
        faster = counted.reference_k / held.reference_k
        assert counted.speech_k == pytest.approx(held.speech_k * faster, rel=ELSEWHERE)
        assert counted.silence_k == pytest.approx(held.silence_k * faster, rel=ELSEWHERE)


@pytest.mark.slow
def test_a_day_leaves_nothing_behind_and_loses_no_word() -> None:
    """A night, a day of talk and broken connections, a night. `script/bench run --only weeks` takes 1,000 hours."""
    looks, world = days.days(28, 1)
    assert [look.hours for look in looks] == [3, 27]
    assert world.words_heard == world.hours_of_talk * len(world.script.words) > 0
    assert world.connections > 1
    remembered_kb = 0.3 * MAX_WORDS  # of the day's last words; nothing was said before the first look
    assert looks[1].kb <= 1.1 * looks[0].kb + remembered_kb


@pytest.mark.slow
def test_a_process_is_charged_with_its_own_cpu_time_and_wake_ups() -> None:
    """One process is busy for a while; another sleeps and wakes."""
    program = "import time\nsum(range(10**7))\nfor _ in range(20): time.sleep(0.001)\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        seen = usage.usage(process.pid)
        process.communicate(b"\n")
    assert seen.cpu_s > 0.01
    assert seen.wakeups >= 20
    assert 1000 < seen.rss_kb <= seen.peak_kb
    assert seen.sent_bytes == seen.received_bytes == 0
    with pytest.raises(OSError, match="No such"):
        usage.usage(process.pid)


def test_this_process_is_measured_as_it_measures_itself() -> None:
    before_s = time.process_time()
    seen = usage.usage(os.getpid())
    assert before_s <= seen.cpu_s <= time.process_time()


def test_growth_is_the_slope_behind_the_beginning() -> None:
    """A cache that fills in the first tenth is no growth; 3 kB a unit are."""
    samples = [(float(n), 10_240 + (3 * n if n > 5 else -2000)) for n in range(100)]
    found = growth.growth(samples)
    assert found.slope_kb == pytest.approx(3.0)
    assert found.units == 99
    assert found.first_mb == pytest.approx((10_240 + 30) / 1024)
    assert found.peak_mb == pytest.approx((10_240 + 297) / 1024)


def test_a_spread_is_a_median_and_what_one_in_a_hundred_exceeds() -> None:
    assert moments.spread([n / 1000 for n in range(200)]) == moments.Spread(100.0, 198.0, 200)
    with pytest.raises(ValueError, match="nothing was measured"):
        moments.spread([])


def kept(edged_cpu: float) -> dict[str, Any]:
    """Return figures as if measured: each process takes 1 % of a core, and edged what is given."""
    one = dict.fromkeys(
        (
            *("cpu_percent", "wakeups_per_s", "rss_mb", "peak_mb", "start_cpu_s"),
            *("disk_bytes_per_min", "sent_bytes_per_min", "received_bytes_per_min"),
        ),
        1.0,
    )
    found = {
        scene: {
            subject.name: {**one, **({"cpu_percent": edged_cpu} if subject.name == "edged" else {})} for subject in ALL
        }
        for scene in ("quiet room", "continuous speech")
    }
    return {"scenes": {"when": "2026-01-02 03:04 UTC", "load": 0.1, "found": found}, "versions": {"Python": "3.11.7"}}


@pytest.mark.parametrize(
    ("edged_cpu", "quiet", "speech"),
    [
        (0.1, "0.1 x | yes", "0.1 x | yes"),
        (2.0, "2.0 x | yes", "2.0 x | **no**"),
        (3.5, "3.5 x | **no**", "3.5 x | **no**"),
    ],
)
def test_the_page_says_which_goals_are_reached(edged_cpu: float, quiet: str, speech: str) -> None:
    text = page.page(kept(edged_cpu))
    assert f"| CPU, quiet room | at most 3 x the floor | {quiet} |" in text
    assert f"| CPU, continuous speech | at most 1.5 x the floor with the send loop | {speech} |" in text
    assert f"| edged / floor | {edged_cpu:.2f} | {edged_cpu:.2f} |" in text
    assert "2026-01-02 03:04 UTC" in text


def test_the_page_has_the_delays_of_both_periods() -> None:
    found = {
        name: {what: {"median": median, "p99": 100.0, "of": 60} for what in ("onset", "arrival", "record", "both")}
        for name, median in (("edged", 57.0), ("edged, period 20 ms", 14.0))
    }
    text = page.page({"delays": {"when": "2026-01-02 03:04 UTC", "load": 0.1, "found": found}})
    assert "20 ms median | 57 ms, of which the microphone's period is 50 on average; 14 with periods of 20 ms |" in text
    assert "| edged, period 20 ms: the sum of these two | 14 | 100 | 60 |" in text


def test_a_page_of_nothing_says_so() -> None:
    assert page.page({}).count("Not measured yet.") >= 3
