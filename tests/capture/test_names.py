"""Absent microphones, as opposed to wrong names."""

import pytest

from edged.capture.alsa import AlsaSource
from tests.capture.conftest import settings


@pytest.mark.parametrize("name", ["bogus_pcm", "Plughw:CARD=Device"])
def test_a_name_unknown_to_alsa_is_reported_as_such(name: str) -> None:
    missing = AlsaSource(settings(name), lambda _: None).check()
    assert missing is not None
    assert missing.reason.startswith(f"no ALSA device is called {name}: ")


@pytest.mark.parametrize("name", ["plughw:CARD=Absent", "hw:9", "sysdefault:CARD=Absent", "default"])
def test_a_known_name_of_an_absent_card_is_no_error(name: str) -> None:
    missing = AlsaSource(settings(name), lambda _: None).check()
    assert missing is None or "is not there" in missing.reason or "is held by" in missing.reason
