"""For all tests: no key of the developer's in them, and no skip where nothing may be skipped."""

import os
from collections.abc import Generator

import pytest

for _name in ("DEEPGRAM_API_KEY", "CREDENTIALS_DIRECTORY"):
    os.environ.pop(_name, None)

NO_SKIPS = bool(os.environ.get("EDGED_NO_SKIPS"))
"""Set where everything that tests need is there, as in CI: a skipped test is a failed one."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips itself."""
    report = yield
    _refuse_skip(report)
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
