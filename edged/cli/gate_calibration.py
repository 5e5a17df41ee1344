"""`edged gate --calibrate`: listens to the room, and recommends a preset."""

import math
import os
import queue
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from edged.capture.factory import open_source
from edged.config import loader
from edged.config.options import toml
from edged.config.settings import PRESETS, CaptureSettings, GateSettings, Settings
from edged.gate.audio_gate import SegmentAudio
from edged.gate.detectors import effective_second_opinion, make_audio_gate
from edged.gate.gate import SegmentOpened
from edged.model.audio import Block, SourceEnded, SourceEvent, SourceLost
from edged.model.cures import with_cure
from edged.model.errors import EdgedError, ExitStatus, SourceError, SourceMismatchError, UsageError

MOST_SENT: Final = 0.05
"""Share of a room without speech that may be sent: one opening in a minute is less, and may be chance."""

WAIT_S: Final = 5.0
"""Deadline for the microphone's next block, which comes every 100 ms."""

LEAST_DBFS: Final = -96.0
"""Level of exact zeros: the smallest step of 16 bits."""


class Trial(NamedTuple):
    """Result of one preset: what it would have sent of the room."""

    preset: str
    openings: int
    sent: int
    """Number of samples that it would have sent."""


class RoomReport(NamedTuple):
    """Measurement of a room, and what each preset would have made of it."""

    samples: int
    levels: Sequence[float]
    """Level of each block, in dBFS (root mean square)."""
    trials: Sequence[Trial]
    """Results, from the most attentive preset to the least."""

    def level(self, share: float) -> float:
        """Not exceeded for this share of the time."""
        return sorted(self.levels)[min(len(self.levels) - 1, int(share * len(self.levels)))]

    @property
    def recommended(self) -> str:
        """The most attentive preset that would have sent hardly anything; else the least attentive."""
        fits = (trial.preset for trial in self.trials if trial.sent <= MOST_SENT * self.samples)
        return next(fits, self.trials[-1].preset)


class Listener:
    """Lets every preset hear the same room."""

    def __init__(self, gates: Mapping[str, GateSettings], rate: int) -> None:
        """Gates by preset, from the most attentive on."""
        self._intakes = {name: make_audio_gate(gate, rate) for name, gate in gates.items()}
        self._openings = dict.fromkeys(gates, 0)
        self._sent = dict.fromkeys(gates, 0)
        self._levels = list[float]()
        self.samples = 0

    def hear(self, block: Block) -> None:
        """Take the next block."""
        samples = array("h", block.pcm)
        power = sum(sample * sample for sample in samples) / len(samples)
        self._levels.append(max(LEAST_DBFS, 10 * math.log10(power / 32768**2)) if power else LEAST_DBFS)
        self.samples += len(samples)
        for name, each in self._intakes.items():
            for event in each.feed(block):
                self._openings[name] += isinstance(event, SegmentOpened)
                self._sent[name] += len(event.pcm) // 2 if isinstance(event, SegmentAudio) else 0

    def room(self) -> RoomReport:
        """Return the report on what was heard so far."""
        trials = [Trial(name, self._openings[name], self._sent[name]) for name in self._intakes]
        return RoomReport(self.samples, self._levels, trials)


def calibrate(
    path: Path | None,
    overrides: Sequence[str],
    seconds: float,
    progress: Callable[[float, float], None],
    *,
    write: bool,
) -> int:
    """Listen for so long, tell what was heard, recommend; and `write` it to the settings, if that is asked.

    Raises UsageError without a microphone, or if the settings can't be written or changed.
    """
    settings = loader.load(path, overrides).settings
    file = path or loader.DEFAULT_PATH
    changed = [file.resolve().parent, *([file] if file.exists() else [])]
    if write and not all(os.access(each, os.W_OK) for each in changed):
        raise UsageError(f"{file} can't be written: run it as its owner, or without --write")
    print(f"Listening for {seconds:g} s. Let nobody speak, and let the room sound as it usually does.", flush=True)
    gates = {name: loader.load(path, [*overrides, f"gate.preset={name}"]).settings.gate for name in PRESETS}
    try:
        room = listen(settings.capture, gates, seconds, progress)
    except SourceMismatchError:
        raise
    except SourceError as error:
        raise UsageError(_without_waiting(str(error))) from None
    for line in report(room, settings):
        print(line)
    if write:
        put(file, room.recommended)
        print(f"Written to {file}.")
    else:
        print(f"To use it, write under [gate]: preset = {toml(room.recommended)}   (--write does that)")
    return ExitStatus.OK


def listen(
    capture: CaptureSettings,
    gates: Mapping[str, GateSettings],
    seconds: float,
    progress: Callable[[float, float], None],
) -> RoomReport:
    """Raises SourceError if there is no microphone, or it goes away; ConfigurationError if the settings are wrong."""
    arrived: queue.SimpleQueue[SourceEvent] = queue.SimpleQueue()
    source = open_source(capture, arrived.put)
    if missing := source.check():
        raise SourceError(missing.reason)
    listener = Listener(gates, capture.rate)
    wanted = seconds * capture.rate
    source.start()
    try:
        while listener.samples < wanted:
            match arrived.get(timeout=WAIT_S):
                case Block() as block:
                    listener.hear(block)
                    progress(min(listener.samples, wanted), wanted)
                case SourceLost(reason):
                    raise SourceError(reason)
                case SourceEnded():
                    break
    except queue.Empty:
        raise SourceError(f"the microphone has delivered nothing for {WAIT_S:g} s") from None
    finally:
        source.stop(1.0)
    progress(wanted, wanted)
    if not listener.samples:
        raise SourceError("the recording holds no audio")
    return listener.room()


def report(room: RoomReport, settings: Settings) -> list[str]:
    """Return the text that `--calibrate` prints."""
    lines = [
        "level: {:.0f} dBFS when quiet, {:.0f} usually, {:.0f} when loud".format(*map(room.level, (0.1, 0.5, 0.99))),
        f"second opinion: {effective_second_opinion(settings.gate)}",
        "",
        f"{'preset':<12} {'opened':>10} {'would send':>12}",
    ]
    for trial in room.trials:
        sent_s = trial.sent / settings.capture.rate
        times = f"{trial.openings} time{'s'[: trial.openings != 1]}"
        lines.append(f"{trial.preset:<12} {times:>10} {sent_s:>10.1f} s {trial.sent / room.samples:6.1%}")
    fits = any(trial.sent <= MOST_SENT * room.samples for trial in room.trials)
    why = f"the most attentive that sends {MOST_SENT:.0%} of this or less" if fits else "all of them send much of this"
    return [*lines, "", f"Recommended: {room.recommended} ({why})."]


def _without_waiting(why: str) -> str:
    """Why there is no microphone, to somebody whose command ends where the service would wait."""
    what, promise, rest = why.partition("; edged uses it as soon as it ")
    if not promise:
        return why
    if " is held by edged" in what:
        return f"{what}: stop it first (sudo systemctl stop edged), and start it again when this is done"
    return what + rest[rest.find(" (") :] if " (" in rest else what


def put(file: Path, preset: str) -> None:
    """Write `gate.preset`, and leave all else as it is. Raises UsageError, and changes nothing, if it can't be written,
    or if [gate] is written there in a way that `with_preset` does not know.
    """
    wanted = loader.load(file if file.exists() else None, [f"gate.preset={preset}"]).settings
    place, file = file, file.resolve()
    new = file.with_name(f".{file.name}.new")
    try:
        text = file.read_bytes().decode() if file.exists() else ""
        content = with_preset(text, preset).encode()
        if not _says(place, content, wanted):
            raise UsageError(f"{file} is left as it is: [gate] has an uncommon form. Put this into it: {_line(preset)}")
        new.write_bytes(content)
        if file.exists():
            was = file.stat()
            os.chown(new, was.st_uid, was.st_gid)  # or the service may not read it
            new.chmod(was.st_mode & 0o777)
        new.replace(file)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} can't be written: {with_cure(error)}") from None
    finally:
        with suppress(OSError):
            new.unlink()


def _says(file: Path, content: bytes, wanted: Settings) -> bool:
    """Whether a file with this content, at its place, would mean these settings."""
    try:
        return loader.load(file, content=content).settings == wanted
    except EdgedError:
        return False


GATE: Final = r"""[ \t]*(?:gate|"gate"|'gate')[ \t]*"""
PRESET: Final = r"""[ \t]*(?:preset|"preset"|'preset')[ \t]*=[^\r\n]*"""
"""Patterns for the table and the option, in each form that TOML allows."""


def with_preset(text: str, preset: str) -> str:
    """A configuration file with this preset: in place of the one it has, or of its commented line, or at the top of
    its [gate] section, or beside its `gate.` keys.
    """
    line = _line(preset)
    section = re.search(rf"^[ \t]*\[{GATE}\][^\n]*\n?", text, re.MULTILINE)
    if not section:
        top, rest = _to_next_table(text)
        dotted = re.search(rf"^{GATE}\.", top, re.MULTILINE)
        if not dotted:
            return f"{text.rstrip()}\n\n[gate]\n{line}\n".lstrip()
        changed = _replaced(rf"^{GATE}\.{PRESET}", f"gate.{line}", top)
        return (changed or f"{top[: dotted.start()]}gate.{line}\n{top[dotted.start() :]}") + rest
    head, body = text[: section.end()], text[section.end() :]
    own, rest = _to_next_table(body)
    changed = _replaced(rf"^{PRESET}", line, own) or _replaced(r"^#preset[ \t]*=[^\r\n]*", line, own)
    separator = "" if head.endswith("\n") else "\n"
    return head + (changed or f"{separator}{line}\n{own}") + rest


def _line(preset: str) -> str:
    return f"preset = {toml(preset)}"


def _to_next_table(text: str) -> tuple[str, str]:
    """Split the text behind a table's header into that table and the rest."""
    end = re.search(r"^[ \t]*\[", text, re.MULTILINE)
    return (text[: end.start()], text[end.start() :]) if end else (text, "")


def _replaced(pattern: str, line: str, text: str) -> str | None:
    """With the first match replaced; None without one."""
    changed, count = re.subn(pattern, lambda _: line, text, count=1, flags=re.MULTILINE)
    return changed if count else None
