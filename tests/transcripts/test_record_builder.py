"""Record building: positions become wall-clock times when the record is written."""

from itertools import count

from edged.config.settings import CaptureSettings, DeepgramSettings, Settings
from edged.model.record import decode, encode
from edged.model.utterance import PlacedWord, Utterance
from edged.transcripts.record_builder import RecordBuilder

BOOTED = 1_795_165_200.0
"""Wall time of CLOCK_BOOTTIME 0: 2026-11-20T09:00:00Z."""


class Times:
    """1000 samples a second, from boot on."""

    def at_s(self, position: int) -> float:
        return position / 1000


def maker(clock: str = "synchronized", **settings: object) -> RecordBuilder:
    ids = (f"id-{i}" for i in count())
    return RecordBuilder(Settings(**settings), "run1", "kiosk-7", Times(), lambda: clock, lambda: next(ids))  # type: ignore[arg-type]


AH = PlacedWord(902_120, 902_330, "turn", "Turn", 0.99, None)
OH = PlacedWord(902_400, 902_800, "off", "off.", 0.97, 1)
UTTERANCE = Utterance(902_000, 903_000, (AH, OH), "request-1", replayed=False)


def test_a_record_has_the_text_its_times_and_the_samples_it_transcribes() -> None:
    record = maker(capture=CaptureSettings(device="plughw:CARD=Device")).build(UTTERANCE, 903.2, BOOTED)
    assert record.text == "Turn off."
    assert (record.start, record.end) == ("2026-11-20T09:15:02.120Z", "2026-11-20T09:15:02.800Z")
    assert (record.from_, record.to, record.run) == (902_000, 903_000, "run1")
    assert (record.request_id, record.host, record.device) == ("request-1", "kiosk-7", "plughw:CARD=Device")
    assert (record.replayed, record.clock) == (False, "synchronized")


def test_whatever_a_host_and_a_device_are_called_a_record_can_be_written() -> None:
    """Names are bytes to the kernel: Python keeps those that are no UTF-8 as halves of characters."""
    made = maker()
    made.device, made._host = "a\udcff", "b\udcff"
    record = made.build(UTTERANCE, 903.2, BOOTED)
    assert (record.device, record.host) == ("a\ufffd", "b\ufffd")
    assert decode(encode(record)) == record


def test_words_are_timed_from_the_records_start() -> None:
    words = maker().build(UTTERANCE, 903.2, BOOTED).words
    assert [(w.word, w.text, w.start, w.end, w.speaker) for w in words] == [
        ("turn", "Turn", 0.0, 0.21, None),
        ("off", "off.", 0.28, 0.68, 1),
    ]


def test_the_confidence_is_the_mean_of_the_words() -> None:
    assert maker().build(UTTERANCE, 903.2, BOOTED).confidence == 0.98


def test_the_delay_is_from_the_end_of_the_speech_to_the_writing() -> None:
    assert maker().build(UTTERANCE, 903.2, BOOTED).delayed_s == 0.4


def test_a_delay_is_never_negative() -> None:
    """Word times are off by tens of milliseconds."""
    assert maker().build(UTTERANCE, 902.7, BOOTED).delayed_s == 0.0


def test_a_clock_that_was_set_meanwhile_gives_earlier_words_the_right_times() -> None:
    """Nothing of the wall clock is taken but at the moment of writing."""
    one = maker()
    assert one.build(UTTERANCE, 903.2, 0.0).start == "1970-01-01T00:15:02.120Z"
    assert one.build(UTTERANCE, 903.2, BOOTED).start == "2026-11-20T09:15:02.120Z"


def test_every_record_has_an_id_of_its_own() -> None:
    one = maker()
    assert [one.build(UTTERANCE, 903.2, BOOTED).id for _ in range(3)] == ["id-0", "id-1", "id-2"]


def test_the_end_is_that_of_the_word_that_ends_last() -> None:
    """When people talk at once, the last word to begin may not be the last to end."""
    long = AH._replace(end=902_900)
    assert maker().build(UTTERANCE._replace(words=(long, OH)), 903.2, BOOTED).end == "2026-11-20T09:15:02.900Z"


def test_model_language_and_channel_are_those_of_the_settings() -> None:
    record = maker(
        deepgram=DeepgramSettings(model="nova-2", language="de"), capture=CaptureSettings(channels=2, channel=1)
    ).build(UTTERANCE, 903.2, BOOTED)
    assert (record.model, record.language, record.channel) == ("nova-2", "de", 1)


def test_the_state_of_the_clock_is_read_when_the_record_is_built() -> None:
    states = iter(["unsynchronized", "synchronized"])
    one = RecordBuilder(Settings(), "run1", "kiosk-7", Times(), lambda: next(states), lambda: "id")
    assert [one.build(UTTERANCE, 903.2, BOOTED).clock for _ in range(2)] == ["unsynchronized", "synchronized"]
