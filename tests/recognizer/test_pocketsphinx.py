"""The real recogniser, on a real sentence."""

import asyncio
import importlib.util
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest

from edged.model.errors import UsageError
from edged.recognizer.engine import transcribe
from edged.recognizer.pocketsphinx import PocketsphinxEngineFactory
from edged.testkit.instrumented_server import InstrumentedServer
from edged.testkit.script import split_pcm
from tests.recognizer.common import RATE, results, window, words
from tests.recognizer.wire import AT_ONCE, client, collect

RECORDING = Path("/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0930.wav")
SAID = ["he", "might", "even", "have", "been", "made", "amiable", "himself"]

needs_engine = pytest.mark.skipif(
    importlib.util.find_spec("pocketsphinx") is None, reason="PocketSphinx is not installed"
)
needs_recording = pytest.mark.skipif(
    not RECORDING.exists(), reason=f"{RECORDING} is not there: apt install pocketsphinx-testdata"
)


def sentence() -> bytes:
    with wave.open(str(RECORDING), "rb") as source:
        assert (source.getframerate(), source.getnchannels(), source.getsampwidth()) == (RATE, 1, 2)
        return source.readframes(source.getnframes())


def right(heard: list[str]) -> int:
    """How many of the words that were said were heard, in order (longest common subsequence)."""
    lengths = [0] * (len(heard) + 1)
    for said in SAID:
        before = 0
        for place, word in enumerate(heard, 1):
            before, lengths[place] = (
                lengths[place],
                (before + 1 if word == said else max(lengths[place], lengths[place - 1])),
            )
    return lengths[-1]


@pytest.mark.slow
@needs_engine
@needs_recording
def test_a_recorded_sentence_streams_through_the_server() -> None:
    async def main() -> list[dict[str, Any]]:
        async with (
            InstrumentedServer(PocketsphinxEngineFactory(), limits=AT_ONCE) as server,
            client(server) as connection,
        ):
            for batch in split_pcm(sentence() + bytes(RATE * 2), 1600):
                await connection.send(batch)
            await connection.send('{"type":"CloseStream"}')
            return await collect(connection)

    messages = asyncio.run(main())
    assert right(words(messages)) >= 6, "most of eight words: it is a small recogniser"
    interims = [m for m in results(messages, final=False) if m["channel"]["alternatives"][0]["words"]]
    assert interims, "words come while somebody speaks"
    edge = 0.0
    for final in results(messages, final=True):
        start, end = window(final)
        assert start == pytest.approx(edge, abs=0.002)
        edge = end
        times = [time for w in final["channel"]["alternatives"][0]["words"] for time in (w["start"], w["end"])]
        assert times == sorted(times)
    first = next(w for m in results(messages, final=True) for w in m["channel"]["alternatives"][0]["words"])
    assert 0.1 < first["start"] < 0.4, "the sentence begins 0.2 s into the recording"
    assert sum(m["speech_final"] for m in results(messages)) == 1


@pytest.mark.slow
@needs_engine
@needs_recording
def test_silence_is_not_decoded_and_does_not_move_the_words() -> None:
    engines = PocketsphinxEngineFactory()
    beginning = sentence()[: 2 * round(1.5 * RATE)]
    plain = transcribe(engines.open(RATE), beginning, RATE)
    late = transcribe(engines.open(RATE), bytes(5 * 2 * RATE) + beginning, RATE)
    assert [word.text for word in plain][:3] == [word.text for word in late][:3] == SAID[:3]
    for one, other in zip(plain[:3], late[:3], strict=True):
        assert other.start_s - one.start_s == pytest.approx(5.0, abs=0.1)


@needs_engine
def test_silence_alone_has_no_words() -> None:
    engine = PocketsphinxEngineFactory().open(RATE)
    assert engine.feed(bytes(2 * RATE)) == engine.flush() == ((), 0.0, 0.0)


@needs_engine
def test_another_rate_is_refused_with_the_right_one() -> None:
    assert "sample_rate=16000" in str(PocketsphinxEngineFactory().rate_error(48_000))


MEMORY = """
import re, sys, wave
from pathlib import Path
from edged.recognizer.pocketsphinx import PocketsphinxEngineFactory

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

with wave.open(sys.argv[1], "rb") as source:
    pcm = source.readframes(source.getnframes())
engines, before_mb = PocketsphinxEngineFactory(), resident_mb()
open_at_once = [engines.open(16000) for _ in range(4)]
for engine in open_at_once:
    engine.feed(pcm)
for engine in open_at_once:
    engine.close()
print(resident_mb() - before_mb)
"""


@pytest.mark.slow
@needs_engine
@needs_recording
def test_the_memory_of_closed_engines_is_given_back() -> None:
    """It was 1.2 GB after four clients."""
    command = [sys.executable, "-c", MEMORY, str(RECORDING)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) < 50


def test_without_pocketsphinx_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(UsageError, match="-m pip install pocketsphinx"):
        PocketsphinxEngineFactory()
