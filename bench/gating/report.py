"""The table, the page around it, and the picture."""

from pathlib import Path

from edged.settings import Gate

from .material import Sound
from .measure import Figures

Row = tuple[str, str, Figures]
"""A variant's name, a note, its figures."""


def material(sounds: list[Sound]) -> str:
    """What is measured on."""
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
                *(f"{f.cpu[each]:.1f}" for each in ("quiet", "noise", "speech")),
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


def text(sounds: list[Sound], rows: list[Row], picture_name: str) -> str:
    """The whole page."""
    default = Gate()
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
- edged's pre-roll is {default.pre_roll_ms} ms and its hangover {default.hangover_ms} ms; the rows `alone` have the same.

![Speech kept, against noise sent]({picture_name})

## What the rows are

{noted}

## Noise sent, by kind

{by_kind(rows)}

## Speech kept in mixtures

{mixed(rows)}
"""


COLOURS = {"edged": (27, 94, 160), "other": (120, 120, 120), "tried": (220, 140, 40)}


def picture(rows: list[Row], path: Path) -> None:
    """Speech kept (mixed with noise 10 dB below it) against noise sent: the better, the further up and to the left."""
    from PIL import Image, ImageDraw, ImageFont

    width, height, left, top, right, bottom = 1100, 700, 110, 90, 40, 90
    fonts = {size: ImageFont.load_default(size) for size in (13, 15, 22)}
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    points = [(name, f.noise, f.kept["all at 10 dB"]) for name, _, f in rows]
    lowest = min(0.9, min(kept for _, _, kept in points) - 0.005)

    def place(noise: float, kept: float) -> tuple[float, float]:
        # The root spreads what is near zero, where it matters.
        x = left + (width - left - right) * noise**0.5
        return x, top + (height - top - bottom) * (1 - kept) / (1 - lowest)

    pen.text((20, 16), "What is kept of speech, and what is sent of noise", fill=(30, 34, 40), font=fonts[22])
    says = "the better, the further up and to the left; the dashed lines are the goals: 98 % kept, 5 % sent"
    pen.text((20, 48), says, fill=(110, 116, 124), font=fonts[15])
    for noise in (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1):
        x, y = place(noise, lowest)
        pen.line([(x, top), (x, y)], fill=(225, 228, 232))
        pen.text((x, y + 10), f"{noise:.0%}", fill=(110, 116, 124), font=fonts[13], anchor="ma")
    steps = [lowest + (1 - lowest) * i / 6 for i in range(7)]
    for kept in steps:
        x, y = place(0, kept)
        pen.line([(x, y), (width - right, y)], fill=(225, 228, 232))
        pen.text(
            (x - 10, y),
            f"{kept:.0%}" if 1 - lowest > 0.1 else f"{kept:.1%}",
            fill=(110, 116, 124),
            font=fonts[13],
            anchor="rm",
        )
    for i in range(0, 1000, 12):
        x, _ = place(0.05, 1)
        if top + i + 6 < height - bottom:
            pen.line([(x, top + i), (x, top + i + 6)], fill=(60, 150, 80))
        _, y = place(0, 0.98)
        if left + i + 6 < width - right:
            pen.line([(left + i, y), (left + i + 6, y)], fill=(60, 150, 80))
    pen.text(
        (width / 2, height - 30),
        "noise sent (share of recordings without speech)",
        fill=(30, 34, 40),
        font=fonts[15],
        anchor="ma",
    )
    pen.text((20, top - 22), "speech kept, in noise 10 dB below it", fill=(30, 34, 40), font=fonts[15])
    taken: list[tuple[float, float, float, float]] = []
    for name, noise, kept in sorted(points, key=lambda point: not point[0].startswith("edged")):
        x, y = place(noise, kept)
        kind = "edged" if name.startswith("edged") else "tried" if name.startswith(("silero,", "8 dB")) else "other"
        pen.ellipse([(x - 5, y - 5), (x + 5, y + 5)], fill=COLOURS[kind])
        if kind == "tried":
            continue  # their names would cover each other: they are in the table
        for dx, dy, anchor in (
            (9, 0, "lm"),
            (-9, 0, "rm"),
            (0, -10, "mb"),
            (0, 10, "mt"),
            (9, 14, "lm"),
            (9, -14, "lm"),
            (-9, 28, "rm"),
        ):
            box = pen.textbbox((x + dx, y + dy), name, font=fonts[13], anchor=anchor)
            if box[2] < width and not any(
                box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken
            ):
                taken.append(box)
                pen.text((x + dx, y + dy), name, fill=COLOURS[kind], font=fonts[13], anchor=anchor)
                break
    pen.ellipse([(width - 330, 20), (width - 320, 30)], fill=COLOURS["tried"])
    pen.text(
        (width - 312, 25),
        "tried: the default with one thing changed",
        fill=(110, 116, 124),
        font=fonts[13],
        anchor="lm",
    )
    image.save(path)
