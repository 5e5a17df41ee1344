"""A microphone for machines without one: sets up the ALSA plug-in `script/virtual_microphone.c`, and orders faults.

For the demo and for tests. The plug-in's own text says what it promises.
"""

import os
from pathlib import Path
from typing import Literal, NamedTuple

SYSTEM_CONFIG = Path("/usr/share/alsa/alsa.conf")
"""Defines `plughw`, `plug` and all the rest; where every distribution puts it."""
VOLUME, SWITCH = "Mic Capture Volume", "Mic Capture Switch"


class PlaybackState(NamedTuple):
    """Playback position of the virtual microphone."""

    started_s: float
    """When its first sample sounded: seconds of CLOCK_MONOTONIC."""
    delivered: int
    """Samples of one channel up to which a reader was served."""
    played: int
    """Samples up to which the room had come at that moment."""
    since: int
    """The sample from which on all came in one piece: after an opening, an overrun or a stall it is another one."""


class VirtualMicrophone:
    """One microphone, named `name` in the ALSA configuration that `environment` points to.

    `directory` must exist and holds its files; `plugin` is the compiled plug-in; `audio` is raw interleaved samples of
    `format` at `rate` with `channels`. A second device, `plugged`, takes any format and rate, as `plughw` does for a
    card, and converts rates with `converter`. With `card`, it also stands in for every `hw:` and `plughw:`.
    `pace` is how many samples a second it really gives.
    """

    def __init__(
        self,
        directory: Path,
        plugin: Path,
        audio: Path,
        *,
        name: str = "virtual",
        rate: int = 16_000,
        channels: int = 1,
        format: Literal["S16_LE", "S32_LE"] = "S16_LE",  # noqa: A002  ALSA's own word
        after: Literal["noise", "zeros", "loop"] = "noise",
        converter: str = "speexrate",
        card: bool = False,
        pace: int | None = None,
    ) -> None:
        self.name = name
        self.plugged = f"{name}_plug"
        self._control = directory / f"{name}.control"
        self._state = directory / f"{name}.state"
        self._mixer = directory / f"{name}.mixer"
        self.config = directory / f"{name}.conf"
        microphone = (
            f'type edged file "{audio}" control "{self._control}" state "{self._state}"'
            f" rate {rate} channels {channels} format {format} after {after} pace {pace or rate}"
        )
        mixer = f'type edged mixer "{self._mixer}"'
        lines = [
            f'pcm_type.edged {{ lib "{plugin}" }}',
            f'ctl_type.edged {{ lib "{plugin}" }}',
            f"pcm.{name} {{ {microphone} }}",
            f'pcm.{self.plugged} {{ type plug slave.pcm "{name}" rate_converter "{converter}" }}',
            f"ctl.{name} {{ {mixer} }}",
            f"ctl.{self.plugged} {{ {mixer} }}",
        ]
        if card:
            takes = "@args [ CARD DEV ] @args.CARD { type string } @args.DEV { type integer default 0 }"
            lines += [
                f"pcm.!hw {{ {takes} {microphone} }}",
                f'pcm.!plughw {{ {takes} type plug slave.pcm "{name}" rate_converter "{converter}" }}',
                f"ctl.!hw {{ {takes} {mixer} }}",
            ]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def environment(self) -> dict[str, str]:
        """Environment that lets a process find the microphone; libasound reads it at each opening."""
        return {"ALSA_CONFIG_PATH": f"{SYSTEM_CONFIG}:{self.config}"}

    def unplug(self) -> None:
        """Gone, as if pulled out: reading fails until it is closed, opening until `replug`."""
        self._order("unplug")

    def replug(self) -> None:
        """Back; who has it open must close it first."""
        self._order("")

    def hold_open(self) -> None:
        """Held by somebody else: it can't be opened."""
        self._order("busy")

    def fail_reads(self) -> None:
        """Each read fails, as with a broken cable."""
        self._order("eio")

    def stall(self) -> None:
        """Nothing arrives any more, without an error."""
        self._order("stall")

    def overrun(self) -> None:
        """Once: what the buffer holds is lost."""
        self._order("overrun")

    def overrun_forever(self) -> None:
        """Report an overrun at each read."""
        self._order("epipe")

    def hang(self) -> None:
        """Nothing arrives any more, until it is opened again."""
        self._order("hang")

    def die(self) -> None:
        """Deliver exact zeros until it is opened again."""
        self._order("dead")

    def mute(self) -> None:
        """Deliver exact zeros."""
        self._order("mute")

    def refuse_opening(self, number: int) -> None:
        """Let each attempt to open it fail with this errno."""
        self._order(f"refuse {number}")

    def resume(self) -> None:
        """Ends every fault."""
        self._order("")

    def set_controls(self, controls: dict[tuple[str, int], int]) -> None:
        """Set the mixer: the value of each control, by name and index."""
        self._mixer.write_text("".join(f"{value} {index} {name}\n" for (name, index), value in controls.items()))

    @property
    def controls(self) -> dict[tuple[str, int], int]:
        """Current values of the mixer's controls, by name and index."""
        lines = (line.split(" ", 2) for line in self._mixer.read_text().splitlines())
        return {(name, int(index)): int(value) for value, index, name in lines}

    def set_mixer(self, volume: int, on: bool) -> None:
        """A mixer with one capture volume (0-100) and its switch."""
        self.set_controls({(VOLUME, 0): volume, (SWITCH, 0): int(on)})

    @property
    def mixer(self) -> tuple[int, bool]:
        """The values of that one as they are now."""
        return self.controls[VOLUME, 0], self.controls[SWITCH, 0] == 1

    @property
    def playback_state(self) -> PlaybackState | None:
        """Current playback position, or None before the first capture."""
        try:
            started_ns, *samples = map(int, self._state.read_text().split())
            delivered, played, since = samples
        except FileNotFoundError:
            return None
        return PlaybackState(started_ns / 1e9, delivered, played, since)

    def _order(self, word: str) -> None:
        """Put in place whole: the plug-in reads it at any moment."""
        new = self._control.with_suffix(".new")
        new.write_text(word)
        os.replace(new, self._control)
