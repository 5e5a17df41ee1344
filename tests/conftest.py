"""Setup of all tests: no key of the developer's, no spool of this machine's, no skip where nothing may be skipped."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from edged.config.settings import SpoolSettings
from edged.spool.directories import LOCK
from tests.quick import EXAMPLES, LIMIT_S, QUICK

for _name in ("DEEPGRAM_API_KEY", "CREDENTIALS_DIRECTORY"):
    os.environ.pop(_name, None)

hypothesis.settings.register_profile(
    "edged",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # a busy machine is no fault of a test's
)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("edged"), max_examples=EXAMPLES)
hypothesis.settings.load_profile("quick" if QUICK else "edged")

NO_SKIPS = bool(os.environ.get("EDGED_NO_SKIPS"))
"""Set where everything that tests need is there, as in CI: a skipped test is a failed one."""

USUAL_SPOOL = tuple(
    Path(directory) / LOCK for directory in (SpoolSettings().directory, SpoolSettings().runtime_directory)
)
"""Files that a process writes when it opens a spool; a service that runs on this machine all the while does not."""


LONGEST_FIRST = ("vm", "systemd", "package", "kills", "end_to_end", "test_hours", "test_crash")
"""Tests that take minutes of real time start first: with several workers the others run beside them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort items by folder or file, in that order; leave the rest as collected."""

    def rank(item: pytest.Item) -> int:
        parts = (*item.path.parts, item.path.stem)
        return next((i for i, name in enumerate(LONGEST_FIRST) if name in parts), len(LONGEST_FIRST))

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def _no_spool_of_this_machine() -> Iterator[None]:
    """No test uses the directories that are the defaults."""
    before = [_changed_ns(lock) for lock in USUAL_SPOOL]
    yield
    assert [_changed_ns(lock) for lock in USUAL_SPOOL] == before, f"this machine's own spool was used: {USUAL_SPOOL}"


def _changed_ns(file: Path) -> int | None:
    """When it was written last; None if it is not there."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Refuse a test that skips itself, and in a quick run one that is slow and does not say so."""
    report = yield
    _refuse_skip(report)
    _refuse_slowness(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself when it is imported."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIPS and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped although EDGED_NO_SKIPS is set: {reason}"


def _refuse_slowness(report: pytest.TestReport) -> None:
    if QUICK and report.passed and report.duration > LIMIT_S:
        report.outcome = "failed"
        report.longrepr = f"took {report.duration:.1f} s: mark it as slow, so that script/test --quick stays quick"
