"""The page bench/cost.md, made of what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.cost.subjects import ALL, ASYNC, BARE, EDGED, FAST, FLOOR, ROOT, SDK, SEND, SILERO, SLOW, Subject

PAGE = ROOT / "bench" / "cost.md"

Kept = Mapping[str, Any]
QUIET, SPEECH = "quiet room", "continuous speech"

HEAD = """\
# What running edged costs

Made by `script/bench run`; not written by hand. No Raspberry Pi was at hand: ratios count, and counts that don't depend
on the machine. All processes of a scene run at the same time, each with a virtual microphone of its own (an ALSA
plug-in) and one local server; CPU is the kernel's account of the process, 100 % is one core. A busy machine makes all
of it dearer, and what wakes up more often suffers more.
"""


def page(kept: Kept) -> str:
    """The whole page; a part that was never measured says so."""
    parts = [
        HEAD,
        _machine(kept),
        _goals(kept),
        _scenes(kept),
        _ratios(kept),
        _delays(kept),
        _growth(kept),
        _encodings(kept),
    ]
    return "\n".join(part for part in parts if part)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _machine(kept: Kept) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in kept.get("versions", {}).items())
    return f"{versions}.\n"


def _when(kept: Kept, *names: str) -> str:
    """When, and how busy the machine was at the start."""
    parts = [f"{name}: {kept[name]['when']}, load {kept[name]['load']:.1f}" for name in names if name in kept]
    return f"Measured {'; '.join(parts)}.\n" if parts else "Not measured yet.\n"


class Scenes:
    """Look-ups in what the race found."""

    def __init__(self, kept: Kept) -> None:
        self._found = kept["scenes"]["found"]
        self.names = list(self._found)

    @property
    def subjects(self) -> list[Subject]:
        """Subjects measured in every scene."""
        return [subject for subject in ALL if all(subject.name in found for found in self._found.values())]

    def get(self, scene: str, who: str, what: str) -> float:
        return float(self._found[scene][who][what])

    def ratio(self, scene: str, who: str, than: str) -> float:
        """Return the ratio of the CPU use of two subjects."""
        return self.get(scene, who, "cpu_percent") / self.get(scene, than, "cpu_percent")


def _goals(kept: Kept) -> str:
    rows: list[tuple[str, str, str, bool | None]] = []
    if "scenes" in kept:
        rows += _scene_goals(Scenes(kept))
    if "hour" in kept:
        hour = kept["hour"]["found"]
        figure = f"{hour['slope_kb']:+.0f} kB an hour over {60 * hour['units']:.0f} min"
        rows.append(("memory over an hour of speech", "flat", figure, abs(hour["slope_kb"]) < 512))
    if "reconnects" in kept:
        again = kept["reconnects"]["found"]
        figure = f"{again['slope_kb']:+.1f} kB a thousand, over {1000 * again['units']:.0f}"
        rows.append(("memory over 10,000 reconnects", "flat", figure, abs(again["slope_kb"]) < 51.2))
    if "delays" in kept:
        both, fast = (kept["delays"]["found"][each.name]["both"]["median"] for each in (EDGED, FAST))
        figure = f"{both:.0f} ms, of which the microphone's period is 50 on average; {fast:.0f} with periods of 20 ms"
        rows.append(("end of speech to record, beyond the server's delay", "20 ms median", figure, both <= 20))
    if "starts" in kept:
        elapsed, cpu = (kept["starts"]["found"][name]["median"] / 1000 for name in ("elapsed", "cpu"))
        figure = f"{elapsed:.2f} s, of which 0.1 are the block itself, and {cpu:.2f} CPU"
        rows.append(("start to first captured block", "0.4 s", figure, elapsed <= 0.4))
    if "weeks" in kept:
        weeks = kept["weeks"]["found"]
        looks = weeks["looks"]
        first, last = looks[0], looks[-1]
        figure = (
            f"{last['hours']} h: {first['objects']} objects of {first['kb']:.0f} kB at first,"
            f" {last['objects']} of {last['kb']:.0f} kB at last; {weeks['heard']} of {weeks['said']} words"
        )
        good = last["kb"] <= 1.1 * first["kb"] and weeks["heard"] == weeks["said"]
        rows.append(("1,000 hours by simulated clock", "no growth", figure, good))
    told = [(what, goal, figure, "yes" if good else "**no**") for what, goal, figure, good in rows]
    return "## Goals\n\n" + table(("what", "goal", "figure", "reached"), told) + _remarks(kept)


def _remarks(kept: Kept) -> str:
    """Return the notes that explain the figures."""
    if "scenes" not in kept:
        return ""
    scenes = Scenes(kept)
    floor, slow = (1 / scenes.ratio(QUIET, each.name, SDK.name) for each in (FLOOR, SLOW))
    slow_speech, fast_speech = (scenes.ratio(SPEECH, each.name, SEND.name) for each in (SLOW, FAST))
    fast_quiet = scenes.ratio(QUIET, FAST.name, EDGED.name)
    return (
        f"\nThe floor itself takes 1/{floor:.1f} of what the SDK's loop does: nothing that asks webrtcvad about each"
        f" frame in Python comes near 1/6. With `capture.period_ms = 500` edged takes 1/{slow:.1f}, and"
        f" {slow_speech:.1f} x the floor with the send loop in continuous speech, for up to half a second more delay;"
        f" with 20, {fast_speech:.1f} x that in continuous speech, and {fast_quiet:.2f} x what 100 takes in a quiet"
        " room.\n"
    )


def _scene_goals(scenes: Scenes) -> list[tuple[str, str, str, bool | None]]:
    edged, floor, send, sdk = EDGED.name, FLOOR.name, SEND.name, SDK.name
    quiet, of_sdk = scenes.ratio(QUIET, edged, floor), scenes.ratio(QUIET, edged, sdk)
    speech, under_sdk = scenes.ratio(SPEECH, edged, send), scenes.ratio(SPEECH, edged, sdk)
    memory = max(scenes.get(scene, edged, "rss_mb") for scene in scenes.names)
    wakeups = scenes.get(QUIET, edged, "wakeups_per_s") - scenes.get(QUIET, floor, "wakeups_per_s")
    wire = sum(scenes.get(QUIET, edged, f"{way}_bytes_per_min") for way in ("sent", "received"))
    audio = max(scenes.get(scene, edged, "sent_bytes_per_min") for scene in scenes.names)
    disk = scenes.get(SPEECH, edged, "disk_bytes_per_min")
    return [
        ("CPU, quiet room", "at most 3 x the floor", f"{quiet:.1f} x", quiet <= 3),
        ("", "at most 1/6 of the SDK's bare loop", f"{of_sdk:.2f} x", of_sdk <= 1 / 6),
        ("CPU, continuous speech", "at most 1.5 x the floor with the send loop", f"{speech:.1f} x", speech <= 1.5),
        ("", "under the SDK's bare loop", f"{under_sdk:.1f} x", under_sdk < 1),
        ("steady resident memory", "at most 34 MB", f"{memory:.1f} MB", memory <= 34),
        ("wake-ups in silence", "at most 12 a second more than the floor", f"{wakeups:+.1f}", wakeups <= 12),
        ("bytes on the wire in silence", "under 2 kB a minute", f"{wire:.0f} a minute", wire < 2000),
        (
            "SD-card writes while connected",
            "none for audio",
            f"{disk / 1000:.0f} kB a minute of speech, with {audio / 1000:.0f} kB of audio",
            disk < audio / 4,
        ),
    ]


def _scenes(kept: Kept) -> str:
    if "scenes" not in kept:
        return "## Scenes\n\nNot measured yet.\n"
    scenes = Scenes(kept)
    what = "".join(f"- **{subject.name}**: {subject.what}\n" for subject in scenes.subjects)
    text = f"## Side by side\n\n{_when(kept, 'scenes')}\n{what}"
    columns = {
        "CPU %": ("cpu_percent", "{:.3f}"),
        "wake-ups /s": ("wakeups_per_s", "{:.1f}"),
        "RSS MB": ("rss_mb", "{:.1f}"),
        "peak MB": ("peak_mb", "{:.1f}"),
        "disk B/min": ("disk_bytes_per_min", "{:.0f}"),
        "sent B/min": ("sent_bytes_per_min", "{:.0f}"),
        "received B/min": ("received_bytes_per_min", "{:.0f}"),
        "CPU s to start": ("start_cpu_s", "{:.2f}"),
    }
    for scene in scenes.names:
        rows = [
            [subject.name, *(shape.format(scenes.get(scene, subject.name, key)) for key, shape in columns.values())]
            for subject in scenes.subjects
        ]
        text += f"\n### {scene[0].upper()}{scene[1:]}\n\n{table(['', *columns], rows)}"
    return text


def _ratios(kept: Kept) -> str:
    """CPU, pair by pair."""
    if "scenes" not in kept:
        return ""
    scenes = Scenes(kept)
    measured = [subject for subject in (EDGED, SILERO, BARE, SLOW, FAST) if subject in scenes.subjects]
    pairs = [(who, than) for who in measured for than in (FLOOR, SEND, SDK, ASYNC)]
    rows = [
        [f"{who.name} / {than.name}", *(f"{scenes.ratio(scene, who.name, than.name):.2f}" for scene in scenes.names)]
        for who, than in pairs
    ]
    return f"### CPU, pair by pair\n\n{table(['', *scenes.names], rows)}"


def _delays(kept: Kept) -> str:
    rows = []
    if "starts" in kept:
        rows.append(["start of the process to its first block", *_spread(kept["starts"]["found"]["elapsed"])])
        rows.append(["CPU time of it", *_spread(kept["starts"]["found"]["cpu"])])
    labels = {
        "onset": "first sample of a sentence to its first byte at the server",
        "arrival": "what tells the server that a sentence is over (0.3 s of silence) to its arrival there",
        "record": "the server's last word to the record in the file, synced",
        "both": "the sum of these two",
    }
    for subject in (EDGED, FAST) if "delays" in kept else ():
        found = kept["delays"]["found"][subject.name]
        rows += [[f"{subject.name}: {label}", *_spread(found[key])] for key, label in labels.items()]
    text = f"## Delays\n\n{_when(kept, 'starts', 'delays')}\n{table(['', 'median ms', '99 % ms', 'of'], rows)}"
    if "burst" in kept:
        burst = kept["burst"]["found"]
        text += (
            f"\n50 segments said during an outage ({burst['backlog_s']:.0f} s of audio), then the server is there:"
            f" {burst['rate']:.2f} times real time over {burst['took_s']:.0f} s (1.25 is allowed; at most"
            f" {burst['most_rate']:.2f} in any 5 s, of which a pre-roll sent at once is 0.06), {burst['lost']} words"
            f" lost. {_when(kept, 'burst')}"
        )
    return text


def _spread(found: Mapping[str, float]) -> list[str]:
    return [f"{found['median']:.0f}", f"{found['p99']:.0f}", f"{found['of']}"]


def _growth(kept: Kept) -> str:
    rows = []
    for name, unit in (("hour", "hour of speech"), ("reconnects", "1,000 reconnects")):
        if name in kept:
            one = kept[name]["found"]
            sizes = (f"{one[key]:.1f}" for key in ("first_mb", "last_mb", "peak_mb"))
            rows.append([unit, *sizes, f"{one['slope_kb']:+.1f}", f"{one['units']:.2f}"])
    head = ["", "settled MB", "last MB", "peak MB", "slope kB", "units"]
    text = f"## Memory over time\n\n{_when(kept, 'hour', 'reconnects')}\n{table(head, rows)}"
    if "instructions" in kept:
        one = kept["instructions"]["found"]
        text += (
            f"\n## Instructions\n\nThe pure chain (gate, lane, session) under callgrind, {one['build']}:"
            f" {one['speech_k']:.0f} thousand for a second of speech, {one['silence_k']:.0f} thousand for a second of"
            f" silence ({one['reference_k']:.0f} thousand for a thousand rounds of a plain loop). A test holds them to"
            f" 5 %. {_when(kept, 'instructions')}"
        )
    return text


LEFT_OUT = """\
Tried and left out: **opus** through opuslib-next 1.3.1 with Debian's libopus 1.3.1 takes 24 kbit/s and heard as well
(23 of 71 words wrong), but 1.1 ms of CPU for 100 ms, more than all else that edged does then; and its frames of 20 ms
and its delay of 6.5 ms would have to be made up for wherever a segment ends. opuslib and PyOgg were last released in
2018 and 2020. PyAV brings FFmpeg, 33 MB on 64-bit ARM. **flac**: pyflac has no wheel for 64-bit ARM, and soundfile
needs NumPy and is made for files; what FLAC would save was not measured. audioop-lts does mu-law, for Python 3.13 and
newer only.
"""


def _encodings(kept: Kept) -> str:
    if "encodings" not in kept:
        return ""
    rows = [
        [f"`{name}`", f"{one['kbit_s']:.0f}", f"{one['us_a_block']:.0f}", f"{one['errors']} of {one['words']}"]
        for name, one in kept["encodings"]["found"].items()
    ]
    head = ["`deepgram.encoding`", "kbit/s while somebody speaks", "us of CPU for 100 ms", "words wrong (PocketSphinx)"]
    return f"## Encodings\n\n{_when(kept, 'encodings')}\n{table(head, rows)}\n{LEFT_OUT}"
