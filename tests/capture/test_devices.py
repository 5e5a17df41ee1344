"""The command `edged devices`, and the quality of ALSA's rate conversion."""

import argparse
import math
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.capture import alsa, cards, devices
from edged.capture.alsa import AlsaSource
from edged.capture.cards import Card, CardHolder
from edged.capture.source import Source
from edged.cli import devices as command
from edged.model.audio import Block
from tests.capture.conftest import EventLog, Microphone, settings


def run() -> int:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    args = parser.parse_args(["devices"])
    status: int = args.run(args)
    return status


def test_without_a_card_one_line_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cards, "capture_cards", list)
    assert run() == 0
    assert capsys.readouterr().out.startswith("No microphone is there.")


def test_a_broken_configuration_of_alsa_is_no_missing_microphone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "asound.conf").write_text("pcm.!default { type hw card\n")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    monkeypatch.setattr(cards, "capture_cards", list)
    assert run() == 0
    out = capsys.readouterr().out
    assert out.startswith("ALSA's configuration can't be read: ")
    assert "No microphone" not in out


def test_a_card_is_listed_by_its_stable_name_with_its_capabilities(
    microphone: Microphone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    microphone(b"", rate=48_000, channels=2, card=True)
    monkeypatch.setattr(cards, "capture_cards", lambda: [Card(7, "Device", (0,))])
    assert run() == 0
    out = capsys.readouterr().out
    assert out.startswith("plughw:CARD=Device\n    Device\n    48000 Hz; 2 channels\n")
    assert 'capture.device = "auto"' in out


def test_a_held_card_is_not_opened_and_its_holder_is_named(
    microphone: Microphone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    microphone(b"", card=True).hold_open()
    monkeypatch.setattr(cards, "capture_cards", lambda: [Card(7, "A", (0,)), Card(8, "B", (1,))])
    monkeypatch.setattr(cards, "find_holder", lambda name: CardHolder(800, "pipewire") if "=A" in name else None)
    assert run() == 0
    out = capsys.readouterr().out
    assert "in use\n    held by pipewire (pid 800)\n" in out
    assert "hw:CARD=B,DEV=1 is held by another process" in out
    assert 'device = "plughw:CARD=A"' in out


def test_the_linear_converter_alone_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALSA_PLUGIN_DIR", str(tmp_path))
    assert "Install libasound2-plugins" in (devices.converter_warning() or "")
    (tmp_path / "libasound_module_rate_speexrate.so").touch()
    assert devices.converter_warning() is None


def test_plug_ins_are_beside_the_loaded_libasound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALSA_PLUGIN_DIR", raising=False)
    assert alsa.__name__  # has loaded it
    assert re.fullmatch(r"/.*/alsa-lib", str(devices.plugin_directory()))
    assert list(devices.plugin_directory().parent.glob("libasound.so*"))


def level_db(pcm: bytes, hertz: float) -> float:
    """Return the level of one frequency, in dB of full scale."""
    values = memoryview(pcm).cast("h")
    real = sum(value * math.cos(2 * math.pi * hertz * i / 16_000) for i, value in enumerate(values))
    imaginary = sum(value * math.sin(2 * math.pi * hertz * i / 16_000) for i, value in enumerate(values))
    return 20 * math.log10(max(1e-9, 2 * math.hypot(real, imaginary) / len(values) / 32767))


@pytest.mark.parametrize(
    ("converter", "most_db"), [("linear", 0), ("speexrate", -40), ("samplerate", -40)], ids=lambda value: str(value)
)
def test_a_12_khz_tone_at_48_khz_becomes_4_khz_at_16_khz_with_the_linear_converter_only(
    microphone: Microphone, events: EventLog, running: Callable[[Source], Source], converter: str, most_db: float
) -> None:
    if converter != "linear" and not (devices.plugin_directory() / f"libasound_module_rate_{converter}.so").exists():
        pytest.skip(f"libasound2-plugins is not installed: no {converter}")
    tone = [int(16_384 * math.sin(2 * math.pi * i / 4)) for i in range(4)]
    microphone(struct.pack("<4h", *tone), rate=48_000, after="loop", converter=converter)
    running(AlsaSource(settings("virtual_plug"), events.put))
    events.wait(Block, 20)
    alias = level_db(b"".join(block.pcm for block in events.all(Block)[4:20]), 4000)
    if converter == "linear":
        assert alias > -12, "at its full level of -6 dB, more or less"
    assert alias < most_db
