"""A picture of what the gate made of a recording, for people who never saw a voice detector.

Drawn with Pillow: lines, boxes and a font of its own in 7 MB, where a plotting library would bring ten times that to a
machine that may have a card of 8 GB.
"""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from edged.config.settings import GateSettings as GateSettings
from edged.gate.preview import GatePreview

WIDTH: Final = 1500
LEFT: Final = 250
RIGHT: Final = 30
"""Room for the names of the rows, and for the last number of the axis."""
COLUMNS: Final = WIDTH - LEFT - RIGHT

INK, FAINT, LINE = (30, 34, 40), (110, 116, 124), (214, 218, 224)
SENT, KEPT_BACK = (27, 94, 160), (176, 182, 190)
VOICED = (120, 90, 170)
SURE = (200, 80, 30)
PRE_ROLL, SPEECH, HANGOVER = (150, 200, 235), (27, 94, 160), (250, 200, 120)

Colour = tuple[int, int, int]
ROW_GAP: Final = 26
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


class Row(NamedTuple):
    """One strip of the picture."""

    name: str
    says: str
    height: int
    draw: Callable[[int, int], None]
    """Draws the row from its top to its bottom, both in pixels."""


class Picture:
    """Rows below each other, over one axis of time."""

    def __init__(self, name: str, pcm: bytes, heard: GatePreview, settings: GateSettings, second: str) -> None:
        self._name, self._heard, self._settings, self._second = name, heard, settings, second
        self._samples = array("h", pcm)
        self._fonts = {size: ImageFont.load_default(size) for size in (13, 15, 22)}
        self._rows = [
            Row("Sound", "blue is sent, grey is not", 150, self._waveform),
            Row("webrtcvad", "hears a voice here", 26, self._voiced),
            Row(f"Second opinion: {second}", "how sure it is of speech", 100, self._likelihood),
            Row("Gate", "open: this is sent and paid for", 40, self._gate),
        ]
        if second == "none":
            del self._rows[2]
        height = 110 + sum(row.height + ROW_GAP for row in self._rows) + 150
        self._image = Image.new("RGB", (WIDTH, height), "white")
        self._pen = ImageDraw.Draw(self._image)

    def save(self, path: Path) -> None:
        """Draw the picture. Raises OSError."""
        heard = self._heard
        length_s = heard.samples / heard.rate
        sent_s = sum(end - start for start, end in heard.sent) / heard.rate
        self._text(20, 16, f"What the gate does with {self._name}", 22)
        share = sent_s / length_s if length_s else 0
        pieces = f"{len(heard.segments)} piece{'s'[: len(heard.segments) != 1]}"
        says = f"{length_s:.1f} s of sound, {sent_s:.1f} s of it sent ({share:.0%}), in {pieces}"
        self._text(20, 48, says, 15, FAINT)
        top = 90
        bottom = top + sum(row.height + ROW_GAP for row in self._rows) - ROW_GAP
        self._axis(top, bottom, length_s)
        for row in self._rows:
            self._text(20, top + row.height // 2 - 18, row.name, 15)
            self._text(20, top + row.height // 2 + 2, row.says, 13, FAINT)
            row.draw(top, top + row.height)
            top += row.height + ROW_GAP
        self._legend(bottom + 50)
        self._image.save(path)

    def _x(self, sample: float) -> int:
        return LEFT + round(COLUMNS * sample / max(1, self._heard.samples))

    def _text(self, x: int, y: int, text: str, size: int, colour: Colour = INK) -> None:
        self._pen.text((x, y), text, fill=colour, font=self._fonts[size])

    def _axis(self, top: int, bottom: int, length_s: float) -> None:
        step_s = next((step for step in STEPS_S if length_s / step <= 16), STEPS_S[-1])
        at_s = 0.0
        while at_s <= length_s:
            x = self._x(at_s * self._heard.rate)
            self._pen.line([(x, top), (x, bottom + 8)], fill=LINE)
            label = f"{at_s:g}" if length_s < 180 else f"{int(at_s) // 60}:{int(at_s) % 60:02}"
            self._pen.text((x, bottom + 12), label, fill=FAINT, font=self._fonts[13], anchor="ma")
            at_s = round(at_s + step_s, 3)
        unit = "seconds" if length_s < 180 else "minutes:seconds"
        self._text(20, bottom + 10, f"time, in {unit}", 13, FAINT)

    def _columns(self) -> Iterator[tuple[int, int, int]]:
        """Each column that shows samples: its x, and the samples from one to another."""
        total = len(self._samples)
        for column in range(COLUMNS):
            low, high = total * column // COLUMNS, max(total * (column + 1) // COLUMNS, total * column // COLUMNS + 1)
            if low < total:
                yield LEFT + column, low, min(high, total)

    def _waveform(self, top: int, bottom: int) -> None:
        middle = (top + bottom) / 2
        loudest = max(max(self._samples, default=0), -min(self._samples, default=0), 1000)
        scale = (bottom - top) / 2 / loudest
        sent = iter([*self._heard.sent, (len(self._samples), len(self._samples))])
        start, end = next(sent)
        for x, low, high in self._columns():
            while end <= low:
                start, end = next(sent)
            piece = self._samples[low:high]
            colour = SENT if low < end and high > start else KEPT_BACK
            self._pen.line([(x, middle - max(piece) * scale), (x, middle - min(piece) * scale)], fill=colour)

    def _voiced(self, top: int, bottom: int) -> None:
        frame = self._heard.frame
        for i, each in enumerate(self._heard.frames):
            if each.voiced:
                self._pen.rectangle([(self._x(i * frame), top), (self._x((i + 1) * frame), bottom)], fill=VOICED)

    def _likelihood(self, top: int, bottom: int) -> None:
        def y(likelihood: float) -> int:
            return round(bottom - likelihood * (bottom - top))

        settings, frame = self._settings, self._heard.frame
        self._pen.rectangle([(LEFT, top), (LEFT + COLUMNS, bottom)], outline=LINE)
        for value, says in ((settings.opens_at, "opens"), (settings.stays_at, "stays open")):
            for x in range(LEFT, LEFT + COLUMNS, 8):
                self._pen.line([(x, y(value)), (x + 3, y(value))], fill=FAINT)
            self._pen.text((LEFT - 6, y(value)), f"{says} {value:g}", fill=FAINT, font=self._fonts[13], anchor="rm")
        points = list[tuple[int, int]]()
        for i, each in enumerate(self._heard.frames):
            if each.likelihood is not None:
                points.append((self._x((i + 1) * frame), y(each.likelihood)))
            if each.likelihood is None or i + 1 == len(self._heard.frames):
                self._pen.line(points, fill=SURE, width=2)
                points = []

    def _gate(self, top: int, bottom: int) -> None:
        for segment in self._heard.segments:
            parts = ((segment.start, segment.onset, PRE_ROLL), (segment.onset, segment.tail, SPEECH))
            for start, end, colour in (*parts, (segment.tail, segment.end, HANGOVER)):
                if start < end:
                    self._pen.rectangle([(self._x(start), top), (self._x(end), bottom)], fill=colour)
            x = self._x(segment.decided)
            self._pen.polygon([(x - 6, bottom + 12), (x + 6, bottom + 12), (x, bottom + 2)], fill=INK)

    def _legend(self, top: int) -> None:
        settings = self._settings
        boxes = (
            (PRE_ROLL, f"pre-roll: sent from up to {settings.pre_roll_ms} ms before the voice, so that no word is cut"),
            (SPEECH, "speech: from the first sound of a voice to the last that holds the gate open"),
            (HANGOVER, f"hangover: it stays open for {settings.hangover_ms} ms more, in case somebody goes on; the last"
             " of that is kept back"),
        )  # fmt: skip
        for i, (colour, says) in enumerate(boxes):
            y = top + 24 * i
            self._pen.rectangle([(LEFT, y), (LEFT + 26, y + 14)], fill=colour)
            self._text(LEFT + 36, y - 1, says, 13)
        y = top + 24 * len(boxes)
        self._pen.polygon([(LEFT + 7, y + 13), (LEFT + 19, y + 13), (LEFT + 13, y + 2)], fill=INK)
        late = "" if self._second == "none" else "; what was said until then was kept, and is sent too"
        self._text(LEFT + 36, y - 1, f"here the gate decided to open{late}", 13)
