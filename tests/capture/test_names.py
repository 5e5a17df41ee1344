"""Whether a microphone is away, or only its name wrong."""

import pytest

from edged.capture.alsa import AlsaSource
from tests.capture.conftest import settings


@pytest.mark.parametrize("name", ["bogus_pcm", "Plughw:CARD=Device"])
def test_a_name_that_alsa_does_not_know_is_told_as_that(name: str) -> None:
    missing = AlsaSource(settings(name), lambda _: None).check()
    assert missing is not None
    assert missing.reason.startswith(f"no ALSA device is called {name}: ")


@pytest.mark.parametrize("name", ["plughw:CARD=Absent", "hw:9", "sysdefault:CARD=Absent", "default"])
def test_a_name_that_alsa_knows_is_waited_for(name: str) -> None:
    missing = AlsaSource(settings(name), lambda _: None).check()
    assert missing is None or "is not there" in missing.reason or "is held by" in missing.reason
