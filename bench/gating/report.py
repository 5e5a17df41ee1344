"""The table, the page around it, and the picture."""

from array import array
from math import log10
from pathlib import Path

from edged.config.settings import GateSettings

from .material import RATE, Sound
from .measure import Figures, Measured

Row = tuple[str, str, Figures]
"""A variant's name, a note, its figures."""


def material(sounds: list[Sound]) -> str:
    """Describe the material of the measurement."""
    groups: dict[str, list[Sound]] = {}
    for sound in sounds:
        groups.setdefault(sound.group, []).append(sound)
    lines = []
    for group, members in groups.items():
        seconds = sum(sound.duration_s for sound in members)
        speech = sum(end - start for sound in members for start, end in sound.speech)
        more = f", {speech:.0f} s of it speech" if speech else ""
        lines.append(f"- {group}: {len(members)} recordings, {seconds:.0f} s{more}")
    return "\n".join(line for line in lines if "cost of" not in line)


def table(rows: list[Row]) -> str:
    """One table, in Markdown."""
    levels = sorted({key.split()[-2] for _, _, f in rows for key in f.kept if key.startswith("all at")}, key=int)[::-1]
    plain = [group for group in ("close", "meeting") if any(group in f.kept for _, _, f in rows)]
    head = [
        *(
            "variant",
            *(f"{group} kept" for group in plain),
            *(f"at {level} dB" for level in levels),
            "cut",
            "noise sent",
        ),
        *(
            "worst kind",
            "sent per s of speech",
            "pieces a min",
            "decided after, ms",
            "CPU quiet",
            "noise",
            "speech",
            "MB",
        ),
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, _, f in rows:
        worst = max(f.by_kind, key=lambda kind: f.by_kind[kind], default="")
        lines.append(
            [
                name,
                *(f"{f.kept[group]:.1%}" for group in plain),
                *(f"{f.kept[f'all at {level} dB']:.1%}" for level in levels),
                f"{f.cuts}/{f.edges}",
                f"{f.noise:.1%}",
                f"{worst} {f.by_kind[worst]:.0%}" if worst else "",
                f"{f.per_speech:.2f}",
                f"{f.pieces_a_minute:.1f}",
                f"{f.delay_ms[0]:.0f}, {f.delay_ms[1]:.0f}",
                f"{f.cpu['quiet']:.2f}",
                *(f"{f.cpu[each]:.1f}" for each in ("noise", "speech")),
                f"{f.memory_mb:.0f}",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def by_kind(rows: list[Row]) -> str:
    """Noise sent, by kind."""
    kinds = sorted({kind for _, _, f in rows for kind in f.by_kind})
    lines = [["variant", *kinds], ["---", *["---:"] * len(kinds)]]
    lines += [[name, *(f"{f.by_kind[kind]:.0%}" for kind in kinds)] for name, _, f in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mixed(rows: list[Row]) -> str:
    """Speech kept in mixtures, near and far apart."""
    groups = [group for group in rows[0][2].kept if " at " in group and not group.startswith("all")]
    groups.sort(key=lambda group: (group.split()[0], -int(group.split()[-2])))
    lines = [["variant", *groups], ["---", *["---:"] * len(groups)]]
    lines += [[name, *(f"{f.kept[group]:.1%}" for group in groups)] for name, _, f in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


FOLLOWS = """\
- **silero is the default (`auto`) wherever it can be installed**: it keeps more speech than micro, sends less noise,
  and costs less. That holds for any class of machine: its library would start a thread for each processor, which spend
  most of their time waiting for each other (0.65 ms for a chunk of 32 ms); with one thread it is 0.12 ms. There are
  wheels for 64-bit x86 and ARM. On 32-bit ARM there is none of either: `auto` is `none` there, and noise is sent.
- **micro** stays for who wants it: it has a fortieth of silero's size.
- **What made the difference**: to listen afresh at each onset, with what came just before it, where the same detector
  asked of everything in one long look (`silero alone`) grows deaf in noise; to amplify what is quiet (`not levelled`);
  to look back to the onset when the decision is late.
- **What helped a little, at little cost**: hysteresis, patience, the mean of two chunks.
- **What was left out**: a noise floor in place of a second detector sends most of the noise.
- **The pre-roll is 600 ms** because 500 cuts six of 68 edges ([below](#what-a-shorter-pre-roll-cuts)), all of them
  beginnings, by 20 to 100 ms of what is 24 to 47 dB quieter than the speech. Five are the first moments of a recording
  labelled from its first sample on, whose reader begins half a second later; the sixth is one frame of a far, faint
  voice. A longer hangover, an earlier onset, a lower `opens_at` and a longer look back leave the same six. 600 leaves
  none, for 0.9 % more sent with speech.
- **That no word comes back** (`wordless_s`, [below](#when-no-word-comes-back)) saves a seventh of the lasting noise
  that the default sends, a quarter in `quiet room`. The default's speech does not pay for it but where it is 5 dB above
  noise that was sent in vain just before: 0.3 % of that.
- **Presets** move along one line: what `quiet room` keeps more of faint speech, it sends more of noise.
"""


SHORTER, ALONE = "silero, pre-roll 500", "edged: none"
CUTS, EVIDENCE, LEFT_OUT = (
    "What a shorter pre-roll cuts",
    "When no word comes back",
    "Recordings that nothing was chosen on",
)


def cuts(sounds: list[Sound], shorter: list[Measured], alone: list[Measured]) -> str:
    """Each edge of labelled speech, in recordings as they are, that it cuts; and how loud that is."""
    alone_ms = {(one.sound.name, one.sound.group, *cut[:2]): 1000 * cut.lost_s for one in alone for cut in one.cuts}
    lines = [["recording", "cut", "at, s", "by, ms", "webrtcvad alone, ms", "below its speech, dB"]]
    lines.append(["---", "---", *["---:"] * 4])
    for sound in sounds:
        for cut in next((one.cuts for one in shorter if _same(one.sound, sound)), []):
            below = _level(sound, sound.speech) - _level(sound, (cut.stretch,))
            other = alone_ms.get((sound.name, sound.group, *cut[:2]), 0)
            figures = f"{cut.at_s:.2f}", f"{1000 * cut.lost_s:.0f}", f"{other:.0f}", f"{below:.0f}"
            lines.append([f"{sound.group}: {Path(sound.name).stem}", cut.where, *figures])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _same(one: Sound, other: Sound) -> bool:
    return (one.name, one.group) == (other.name, other.group)


def _level(sound: Sound, stretches: tuple[tuple[float, float], ...]) -> float:
    samples = array("h", sound.pcm)
    some = [sample for start, end in stretches for sample in samples[round(start * RATE) : round(end * RATE)]]
    return 10 * log10(max(1.0, sum(sample * sample for sample in some) / max(1, len(some))))


def text(sounds: list[Sound], rows: list[Row], picture_name: str, parts: dict[str, str]) -> str:
    """The whole page; `parts` are the sections that not every run measures."""
    default = GateSettings()
    more = "\n\n".join(f"## {title}\n\n{part}" for title, part in parts.items())
    noted = "\n".join(f"- **{name}**: {note}" for name, note, _ in rows if note)
    return f"""# What the gate keeps, sends and costs

Made by `script/bench gate`; a change here is lost. Measured on:

{material(sounds)}

{table(rows)}

- *kept*: share of the labelled speech time that is sent; *at 10 dB*: the same, of all speech mixed with noise so much
  below it. Close recordings count as speech from end to end, the silence before and after it included.
- *cut*: beginnings and ends of labelled speech that are not sent.
- *noise sent*: of recordings without speech; *worst kind*: of the kinds below.
- *decided after*: from an opening's first voiced frame to the decision, half of them and nine of ten; audio comes
  in blocks of 100 ms. Nothing is lost by it: all from before that frame on is sent.
- *CPU*: seconds an hour of audio, in a quiet room, in noise of its dearest kind, and in speech, on the machine that
  this was measured on: compare the rows, not machines. *MB*: resident, Python and all.
- *micro* is asked with its answers squared, as edged does it: its 0.7 is worth silero's 0.5.
- edged's pre-roll is {default.pre_roll_ms} ms and its hangover {default.hangover_ms} ms; those of `alone` are the same.

![Speech kept, against noise sent]({picture_name})

## What follows

{FOLLOWS}
## What the rows are

{noted}

{more}

## Noise sent, by kind

{by_kind(rows)}

## Speech kept in mixtures

{mixed(rows)}
"""


COLOURS = {"edged": (27, 94, 160), "others": (120, 120, 120), "tried": (220, 140, 40)}
INK, FAINT, LINE, GOAL = (30, 34, 40), (110, 116, 124), (225, 228, 232), (60, 150, 80)
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 1100, 760, 90, 140, 40, 90
PLACES = (
    (10, 0, "lm"),
    (-10, 0, "rm"),
    (10, 16, "lm"),
    (10, -16, "lm"),
    (-10, 16, "rm"),
    (-10, -16, "rm"),
    (0, 26, "mt"),
)
"""Where a name may stand, beside its point: the first that is free."""


def picture(rows: list[Row], path: Path) -> None:
    """Speech kept (mixed with noise 10 dB below it) against noise sent: the better, the further up and to the left.

    Both axes are square roots, from their better ends: that spreads what is good.
    """
    from PIL import Image, ImageDraw, ImageFont

    fonts = {size: ImageFont.load_default(size) for size in (13, 15, 22)}
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    points = [(name, f.noise, f.kept["all at 10 dB"]) for name, _, f in rows]
    most_lost = max(0.1, *(1 - kept + 0.01 for _, _, kept in points))

    def place(noise: float, kept: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * noise**0.5
        return x, TOP + (HEIGHT - TOP - BOTTOM) * (max(0.0, 1 - kept) / most_lost) ** 0.5

    pen.text((20, 16), "What is kept of speech, and what is sent of noise", fill=INK, font=fonts[22])
    says = "The better, the further up and to the left. Dashed: the goals, 98 % of speech kept and 5 % of noise sent."
    pen.text((20, 48), says, fill=FAINT, font=fonts[15])
    for x, (group, means) in zip(
        (20, 200, 420),
        (("edged", "edged"), ("others", "what others do"), ("tried", "edged, one thing changed")),
        strict=True,
    ):
        pen.ellipse([(x, 80), (x + 10, 90)], fill=COLOURS[group])
        pen.text((x + 16, 85), means, fill=FAINT, font=fonts[13], anchor="lm")
    bottom = HEIGHT - BOTTOM
    for noise in (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1):
        x, _ = place(noise, 1)
        pen.line([(x, TOP), (x, bottom)], fill=LINE)
        pen.text((x, bottom + 10), f"{noise:.0%}", fill=FAINT, font=fonts[13], anchor="ma")
    for kept in (1, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5):
        if 1 - kept <= most_lost:
            _, y = place(0, kept)
            pen.line([(LEFT, y), (WIDTH - RIGHT, y)], fill=LINE)
            pen.text((LEFT - 10, y), f"{kept:.0%}", fill=FAINT, font=fonts[13], anchor="rm")
    goal_x, goal_y = place(0.05, 0.98)
    for y in range(TOP, bottom, 12):
        pen.line([(goal_x, y), (goal_x, y + 6)], fill=GOAL)
    for x in range(LEFT, WIDTH - RIGHT, 12):
        pen.line([(x, goal_y), (x + 6, goal_y)], fill=GOAL)
    axis = "noise sent: share of the recordings without speech"
    pen.text((WIDTH / 2, HEIGHT - 36), axis, fill=INK, font=fonts[15], anchor="ma")
    pen.text((20, TOP - 30), "speech kept, in noise 10 dB below it", fill=INK, font=fonts[13])
    taken: list[tuple[float, float, float, float]] = []
    for name, noise, kept in sorted(points, key=lambda point: _group(point[0])):
        x, y = place(noise, kept)
        colour = COLOURS[_group(name)]
        pen.ellipse([(x - 5, y - 5), (x + 5, y + 5)], fill=colour)
        if _group(name) == "tried" and not name.startswith("8 dB"):
            continue  # their names would cover each other: they are in the table
        for dx, dy, anchor in PLACES:
            box = pen.textbbox((x + dx, y + dy), name, font=fonts[13], anchor=anchor)
            if box[0] > LEFT and box[2] < WIDTH and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                pen.text((x + dx, y + dy), name, fill=colour, font=fonts[13], anchor=anchor)
                break
    image.save(path)


def _group(name: str) -> str:
    return "edged" if name.startswith("edged") else "tried" if name.startswith(("silero,", "8 dB")) else "others"


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
