"""Causes for which a microphone can't be opened, and what edged says about them."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from edged.capture.alsa import AlsaSource
from edged.model.audio import Block, SourceLost
from edged.model.message_ids import MessageId
from edged.testkit.virtual_microphone import SYSTEM_CONFIG
from tests.capture.conftest import EventLog, Microphone, Running, settings, speech_like


def missing(device: str) -> SourceLost:
    """Return what a check of this device finds."""
    found = AlsaSource(settings(device), print).check()
    assert found is not None
    return found


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of a configuration file of ALSA, to be written."""
    file = tmp_path / "asound.conf"
    monkeypatch.setenv("ALSA_CONFIG_PATH", f"{SYSTEM_CONFIG}:{file}")
    return file


BRACE = 'pcm.mic { type plug slave.pcm "hw:1,0"\n'


@pytest.mark.parametrize("device", ["mic", "hw:1", "default"])
def test_an_unreadable_configuration_is_reported_with_file_and_line(definitions: Path, device: str) -> None:
    definitions.write_text(BRACE)
    found = missing(device)
    assert found.reason.startswith("ALSA's configuration can't be read: _toplevel_:2:0:Unexpected char; ")
    assert str(definitions) in found.reason
    assert found.message_id is MessageId.ALSA


@pytest.mark.slow
def test_a_corrected_configuration_takes_effect_without_a_restart(
    microphone: Microphone, events: EventLog, running: Running
) -> None:
    virtual = microphone(speech_like(0.5))
    right = virtual.config.read_text()
    virtual.config.write_text(BRACE)
    running(AlsaSource(settings(), events.put))
    assert "can't be read" in events.wait(SourceLost).reason
    virtual.config.write_text(right)
    events.wait(Block)


@pytest.mark.parametrize("text", ["", "pcm_type.a { lib a }\n"], ids=["empty", "other"])
def test_without_alsas_own_configuration_the_package_to_install_is_named(
    definitions: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Every name is unknown then, so the name is not the cause."""
    definitions.write_text(text)
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(definitions))
    assert "install libasound2-data" in missing("plughw:CARD=Device").reason


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ("type nosuch", "Cannot open shared library libasound_module_pcm_nosuch.so"),
        ('type plug slave.pcm "nosuch"', "Unknown PCM nosuch"),
        ("type plug", "slave is not defined"),
        ("type plug slave.pcm null bogus 1", "Unknown field bogus"),
        ('type asym playback.pcm "null"', "capture slave is not defined"),
        ("type rate slave { pcm null rate 48000 } converter nosuch", "libasound_module_rate_nosuch.so"),
    ],
)
def test_a_definition_that_lacks_something_is_reported_in_the_words_of_libasound(
    definitions: Path, definition: str, reason: str
) -> None:
    """edged does not report a microphone as absent that is plugged in."""
    definitions.write_text(f"pcm.mine {{ {definition} }}\n")
    found = missing("mine")
    assert found.reason.startswith("mine fails: ")
    assert reason in found.reason
    assert "correct its definition" in found.reason
    assert found.message_id is MessageId.ALSA


def test_a_definition_of_an_absent_card_is_an_absent_device(definitions: Path) -> None:
    definitions.write_text("pcm.mine { type plug slave.pcm 'hw:CARD=Absent' }\n")
    assert missing("mine").reason.startswith("mine is not there (Cannot get card index for Absent)")


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ENOSPC, errno.EPROTO, errno.ENOMEM])
def test_no_error_of_an_opening_proves_the_settings_wrong(
    microphone: Microphone, events: EventLog, running: Running, number: int
) -> None:
    """A card that is not ready at boot causes any of them, and works a second later."""
    virtual = microphone(speech_like(0.5))
    virtual.refuse_opening(number)
    source = AlsaSource(settings(), events.put)
    assert source.check() is not None
    running(source)
    events.wait(SourceLost)
    virtual.resume()
    events.wait(Block)


def test_a_broken_user_configuration_does_not_end_the_check(tmp_path: Path) -> None:
    """libasound once aborted on it, with status 134."""
    (tmp_path / ".asoundrc").write_text(BRACE)
    command = [sys.executable, "-m", "edged", "check", "--config", "/dev/null", "--set", "capture.device=plughw:1"]
    done = subprocess.run(command, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 78, done.stderr
    assert f"{tmp_path}/.asoundrc may be old or corrupted" in done.stderr
