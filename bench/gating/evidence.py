"""What it saves that no word comes back from noise, and whether speech pays for it. The recogniser is simulated."""

from collections.abc import Callable
from itertools import cycle

from msgspec.structs import replace

from edged.config.settings import PRESETS, GateSettings
from edged.gate.audio_gate import AudioGate, SegmentAudio, SegmentEvent
from edged.gate.detectors import Silero, webrtc

from .material import RATE, Sound
from .measure import Measured, share_kept, share_sent
from .variants import Outcome, Variant, through

LONG_S = 300
"""Of each kind of noise: the first seconds of one are sent with evidence as without."""
ENOUGH_S = 0.1
"""Of speech in a second that is answered: a word."""
LEVELS = ("20", "10", "5")


def long_noise(sounds: list[Sound]) -> list[Sound]:
    """Each kind for `LONG_S`: its recordings, one after the other and again."""
    kinds: dict[str, list[bytes]] = {}
    for sound in sounds:
        if sound.group == "noise":
            kinds.setdefault(sound.kind, []).append(sound.pcm)
    rows = []
    for kind, recordings in kinds.items():
        pcm = bytearray()
        for recording in cycle(recordings):
            pcm += recording
            if len(pcm) >= LONG_S * RATE * 2:
                break
        rows.append(Sound(f"long {kind}", "long noise", kind, bytes(pcm[: LONG_S * RATE * 2]), ()))
    return rows


def rows() -> list[Variant]:
    """Each preset, without evidence and with it."""
    return [
        Variant(_name(preset, wordless_s), "", _heard(_gate(preset, wordless_s)), "evidence")
        for preset in PRESETS
        for wordless_s in (0.0, GateSettings().wordless_s)
    ]


def _name(preset: str, wordless_s: float) -> str:
    return f"{preset}, wordless_s {wordless_s:g}"


def _gate(preset: str, wordless_s: float) -> GateSettings:
    return replace(GateSettings(second_opinion="silero"), preset=preset, **PRESETS[preset], wordless_s=wordless_s)


def _heard(gate: GateSettings) -> Callable[[Sound], Outcome]:
    def run(sound: Sound) -> Outcome:
        intake = AudioGate(gate, RATE, webrtc(gate.aggressiveness, RATE), Silero(RATE))
        if sound.speech:  # it begins where noise has been sent in vain for long: the worst that can be
            intake.note_outcome(round(gate.wordless_s * RATE), words=False)
        return through(intake, sound.pcm, _Recogniser(intake, sound))

    return run


class _Recogniser:
    """Answers each second of what is let through, as soon as it has it."""

    def __init__(self, intake: AudioGate, sound: Sound) -> None:
        self._intake, self._speech = intake, sound.speech
        self._heard_s = self._spoken_s = 0.0

    def __call__(self, let: list[SegmentEvent]) -> None:
        """Take what is let through."""
        for event in let:
            if not isinstance(event, SegmentAudio):
                continue
            start, length = event.position / RATE, len(event.pcm) / 2 / RATE
            self._heard_s += length
            self._spoken_s += sum(max(0.0, min(start + length, b) - max(start, a)) for a, b in self._speech)
            if self._heard_s >= 1:
                self._intake.note_outcome(round(self._heard_s * RATE), words=self._spoken_s >= ENOUGH_S)
                self._heard_s = self._spoken_s = 0.0


def text(measured: dict[str, list[Measured]]) -> str:
    """A paragraph and a table."""
    plain = ("close", "meeting")
    head = ["preset", "`wordless_s`", "noise sent", "worst kind", "sent of each kind where any is"]
    head += [f"{group} kept" for group in plain] + [f"at {level} dB" for level in LEVELS]
    lines = [head, ["---", "---:", "---:", "---:", "---", *["---:"] * (len(plain) + len(LEVELS))]]
    for preset in PRESETS:
        for wordless_s in (0.0, GateSettings().wordless_s):
            ones = measured[_name(preset, wordless_s)]
            noise = {one.sound.kind: one for one in ones if one.sound.group == "long noise"}
            shares = {kind: share_sent([one]) for kind, one in sorted(noise.items())}
            worst = max(shares, key=lambda kind: shares[kind])
            some = ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items() if share >= 0.0005)
            line = [preset, f"{wordless_s:g}" if wordless_s else "0: never", f"{share_sent([*noise.values()]):.1%}"]
            line += [f"{worst} {shares[worst]:.0%}", some]
            line += [f"{share_kept([one for one in ones if one.sound.group == group]):.1%}" for group in plain]
            at = [[one for one in ones if one.sound.group.endswith(f" at {level} dB")] for level in LEVELS]
            lines.append([*line, *(f"{share_kept(each):.1%}" for each in at)])
    return (
        f"Each kind of noise for {LONG_S // 60} minutes, its recordings one after the other; a simulated recogniser"
        " answers each second that\nit is sent, with a word if there is speech in it. Speech is heard with the evidence"
        " in force from the start, as behind\nnoise that was sent in vain: the worst that can be.\n\n"
        + "\n".join(f"| {' | '.join(line)} |" for line in lines)
    )
