"""Fixtures of the kill tests, which run at once: they take minutes of real time, nearly all of it waiting."""

from pathlib import Path

import pytest

from tests.kills.instance import Cannot, plugin


@pytest.fixture(scope="session")
def microphone() -> Path:
    """The virtual one can be had here."""
    try:
        return plugin()
    except Cannot as reason:
        pytest.skip(str(reason))
