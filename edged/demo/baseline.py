"""`python -m edged.demo.baseline FILE.wav`: what PocketSphinx makes of a whole recording, without edged, as JSON.

A process of its own, so that it can be given up at any moment, and as unimportant as can be: it runs beside the demo.
"""

import os
import sys
import wave
from collections.abc import Sequence

import msgspec

from edged.recognizer.engine import RecognizedWord, transcribe
from edged.recognizer.pocketsphinx import PocketsphinxEngineFactory

NICENESS = 15
"""Niceness of this process, so that on one processor the demo's own recogniser comes first."""

decode = msgspec.json.Decoder(list[RecognizedWord]).decode
"""Decoder of the output."""


def main(argv: Sequence[str]) -> None:
    """Write the words to standard output."""
    os.nice(NICENESS)
    with wave.open(argv[0], "rb") as file:
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    words = transcribe(PocketsphinxEngineFactory().open(rate), pcm, rate)
    sys.stdout.buffer.write(msgspec.json.encode(words))


if __name__ == "__main__":
    main(sys.argv[1:])
