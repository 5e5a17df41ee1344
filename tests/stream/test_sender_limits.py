"""Limits of a sender: it gives up its connection for another, and a backlog that delays live speech.

Positions and times are milliseconds.
"""

from typing import Any

from edged.stream.events import BacklogHandedOver, SenderEvent
from edged.stream.sender import Sender
from tests.stream.some import METADATA, RATE, Bench, end_three_times, final, with_a_pause


class Parting(Bench):
    """A bench whose lane hands over what has waited for 10 s."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.lane = Sender(self.settings, RATE, utterance_max_s=30, keep_max_s=120, hand_over_s=10)
        self.handed: list[BacklogHandedOver] = []

    def _do(self, effects: list[SenderEvent]) -> None:
        super()._do(effects)
        self.handed += [effect for effect in effects if isinstance(effect, BacklogHandedOver)]

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Stretches of audio handed over so far."""
        return [(stretch.start, stretch.end) for handed in self.handed for stretch in handed.stretches]


# -- the connection ---------------------------------------------------------------------------------------------------


def test_a_sender_with_nothing_to_do_leaves_at_once() -> None:
    bench = Bench()
    bench.connect()
    bench.lane.request_close()
    bench.poll()
    assert bench.said("CloseStream") == [0]


def test_a_sender_leaves_no_speaker_in_mid_sentence() -> None:
    """The segment ends, its last words are waited for, and only then the connection goes."""
    bench = Bench()
    bench.connect()
    bench.open()
    bench.hear(1000)
    bench.lane.request_close()
    bench.hear(1800)
    bench.hear(2000, voiced=False)
    assert bench.said("CloseStream") == []
    bench.close()
    assert bench.said("Finalize") == [2000]
    assert bench.said("CloseStream") == []
    bench.serve(final(0, 2000, "ah@200-1800", from_finalize=True))
    assert bench.texts == ["ah"]
    assert bench.said("CloseStream") == [2000]
    bench.serve(METADATA)
    bench.lose(1000)
    assert bench.waiting == []


def test_where_a_voice_was_heard_at_the_end_of_a_segment_it_leaves_a_little_later() -> None:
    """A word may have begun there: a gate with a second opinion closes on noise, and opens again at that sample."""
    bench = Bench()
    bench.connect()
    bench.say(1000)
    bench.lane.request_close()
    bench.serve(final(0, 1000, "ah@200-800", from_finalize=True))
    bench.wait(1200)
    assert bench.said("CloseStream") == []
    bench.open(1000)
    bench.hear(2000, start=1000)
    bench.close()
    bench.serve(final(1000, 2000, "oh@1000-1900", from_finalize=True))
    assert bench.texts == ["ah", "oh"]
    bench.wait(6000)
    assert len(bench.said("CloseStream")) == 1


def test_a_sender_that_leaves_sends_nothing_of_the_next_segment() -> None:
    """The segment waits for the next connection, on which the sender no longer has to leave."""
    bench = Bench()
    bench.say(800, silence=200)
    bench.wait(1500)
    bench.say(2500)
    bench.connect()
    bench.lane.request_close()
    bench.wait(3500)
    bench.serve(final(0, 1000, "ah@200-800", from_finalize=True))
    bench.wait(4000)
    assert bench.sent() == [(0, 1000)]
    assert len(bench.said("CloseStream")) == 1
    bench.lose(1000)
    assert bench.waiting == [(1500, 2500)]
    assert bench.lane.has_work(bench.now)
    bench.connect()
    bench.wait(6000)
    assert bench.sent() == [(1500, 2500)]
    assert len(bench.said("CloseStream")) == 1


# -- the backlog ------------------------------------------------------------------------------------------------------


def test_a_backlog_goes_up_to_the_last_pause_and_live_speech_stays() -> None:
    """Without a connection; `recorded`, `silence` and `evicted` have none of it."""
    bench = Parting()
    bench.say(4000)
    bench.wait(5000)
    bench.say(9000)
    bench.wait(9500)
    bench.open()
    bench.hear(10_000)
    assert bench.handed == []
    bench.hear(10_100)
    assert bench.stretches == [(0, 4000), (5000, 9000)]
    assert bench.waiting == [(9500, 10_100)]
    assert bench.lane.pending.released_samples["handed over"] == 8000
    assert sum(bench.lane.pending.released_samples.values()) == 8000


def test_a_backlog_is_parted_in_a_pause_of_a_segment() -> None:
    """The cut is in the middle of the pause; voiced ranges go with each part."""
    bench = Parting()
    bench.open()
    bench.hear(8000)
    bench.hear(8400, voiced=False)
    bench.hear(10_500)
    assert bench.stretches == [(0, 8200)]
    assert bench.waiting == [(8200, bench.at)]
    (stretch,) = bench.handed[0].stretches
    assert (stretch.voiced[0][0], stretch.voiced[-1][1]) == (0, 8000)
    assert not bench.lane.pending.has_voice(8200, 8400)
    assert bench.lane.pending.has_voice(8400, 8500)


def test_a_backlog_is_not_parted_between_a_segments_start_and_its_speech() -> None:
    """The quiet pre-roll is no pause: it stays with its word, and the segment's start is where the backlog ends."""
    bench = Parting()
    bench.say(4000)
    bench.wait(8000)
    bench.open(8000)
    bench.hear(8600, voiced=False)
    bench.hear(10_500)
    assert bench.stretches == [(0, 4000)]
    assert bench.waiting == [(8000, 10_500)]


def test_nor_again_when_what_is_left_begins_with_half_a_pause() -> None:
    bench = Parting()
    bench.open()
    bench.hear(8000)
    bench.hear(8800, voiced=False)
    bench.hear(18_500)
    assert bench.stretches == [(0, 8400)]
    assert bench.waiting == [(8400, 18_500)]


def test_nor_when_too_much_waits_and_no_pause_comes() -> None:
    """A connection sends a voice without a pause; of the segment behind it only the pre-roll was heard."""
    bench = Parting(replay_rate=1.05, inflight_s=300, stall_s=120)
    bench.lane.allow_handover(False)
    bench.open()
    bench.hear(600, voiced=False)
    bench.hear(70_000)
    bench.close()
    bench.connect()
    bench.wait(70_300)
    bench.lane.allow_handover(True)
    bench.open()
    bench.hear(70_700, voiced=False)
    ((start, end),) = bench.stretches
    assert start > 600, "not in the pre-roll of what is being sent"
    assert end == 70_000
    assert bench.waiting[-1] == (70_300, 70_700)


def test_without_a_pause_nothing_goes_until_half_of_what_may_be_kept_waits() -> None:
    """Cutting there would split a word."""
    bench = Parting()
    bench.open()
    bench.hear(60_000)
    assert bench.handed == []
    assert bench.waiting == [(0, 60_000)]


def test_a_voice_without_a_pause_is_handed_over_at_last_and_never_evicted() -> None:
    """Rain for minutes, or a television in it: the spool has room where memory has not."""
    bench = Parting()
    for piece in range(10):
        bench.open()
        bench.hear(60_000 * (piece + 1))
        bench.close(continues=True)
    assert bench.evicted == 0
    assert bench.stretches[0][0] == 0
    handed_to = bench.stretches[-1][1]
    assert [end for _, end in bench.stretches[:-1]] == [start for start, _ in bench.stretches[1:]]
    assert bench.waiting == [(handed_to, 600_000)]
    assert 600_000 - handed_to <= 60_000


def test_a_slow_connection_keeps_what_it_was_sent_up_to_the_next_quiet_place() -> None:
    """Audio that was sent stays with the sender up to the next quiet place, and so does the newest audio."""
    bench = Parting()
    bench.connect()
    bench.open()
    heard = 0
    for at in range(1000, 300_001, 1000):
        bench.hear(at)
        before, heard = heard, min(at // 2, sum(length for _, length in bench.audio))  # it keeps up with half of it
        bench.serve(final(before, heard, f"ah@{before}-{heard}"))
    assert bench.hangups == []
    assert bench.evicted == 0
    sent = bench.sent()
    for start, end in bench.stretches:
        assert all(end <= a or b <= start for a, b in sent)
    assert bench.lane.pending.released_samples["handed over"] > 100_000
    assert bench.waiting[-1][1] == 300_000
    assert bench.lane.backlog <= 61_000


def test_nothing_goes_that_would_not_be_stored() -> None:
    """The spool fails: memory is the only place there is. When it works again, the backlog goes."""
    bench = Parting()
    bench.lane.allow_handover(False)
    bench.say(15_000)
    assert bench.handed == []
    bench.lane.allow_handover(True)
    bench.open()
    bench.hear(15_100)
    assert bench.stretches == [(0, 15_000)]


def test_a_backlog_that_becomes_too_old_in_silence_goes_when_a_connection_is_made() -> None:
    bench = Parting()
    bench.say(6000)
    bench.open(12_000)
    bench.hear(12_000, start=12_000)
    bench.at = 12_000
    bench.hear(12_100)
    bench.lane.allow_handover(False)
    bench.hear(12_200)
    bench.lane.allow_handover(True)
    bench.connect()
    assert bench.stretches == [(0, 6000)]
    assert bench.sent() == [(12_000, 12_200)]


def test_what_is_being_sent_is_not_taken_from_its_connection() -> None:
    """A server that lags: the segment that goes out stays, those behind it go."""
    bench = Parting(replay_rate=1.05, inflight_s=300, stall_s=120)
    bench.lane.allow_handover(False)
    bench.say(12_000)
    bench.wait(12_500)
    bench.say(14_000)
    bench.wait(14_500)
    bench.connect()
    bench.lane.allow_handover(True)
    ((_, sent_to),) = bench.sent()
    assert 0 < sent_to < 1000
    bench.open()
    bench.hear(14_600)
    assert bench.stretches == [(12_500, 14_000)]
    assert bench.waiting == [(0, 12_000), (14_500, 14_600)]


def test_audio_sent_before_is_a_replay_in_the_sender_that_gets_it() -> None:
    """The records say that it is a replay."""
    bench = Parting()
    bench.connect()
    bench.say(2000)
    bench.lose()
    bench.wait(3000)
    bench.say(5000)
    bench.wait(12_000)
    bench.open()
    bench.hear(12_500)
    (handed,) = bench.handed
    assert handed.sent_to == 2000
    assert bench.stretches == [(0, 2000), (3000, 5000)]
    other = Bench()
    other.lane.mark_sent_before(handed.sent_to)
    for start, end, voiced in handed.stretches:
        assert voiced
        other.open(start)
        other.hear(end, start=start)
        other.close()
    other.connect()
    other.wait(10_000)
    other.serve(final(0, 2000, "ah@200-800"), final(2000, 4000, "oh@2500-3000"))
    assert [(uttered.utterance.words[0].word, uttered.utterance.replayed) for uttered in other.uttered] == [
        ("ah", True),
        ("oh", False),
    ]


def test_of_a_draft_that_is_handed_over_the_finals_are_recorded() -> None:
    """Words before the pause are recorded, as they are not recognised again."""
    bench = Parting()
    bench.connect()
    bench.open()
    bench.hear(600)
    bench.hear(1000, voiced=False)
    bench.hear(2000)
    bench.serve(final(0, 2000, "ah@200-600 oh@1000-1900"))
    bench.hear(3000)
    bench.close()
    bench.lose()
    bench.wait(12_000)
    bench.open()
    bench.hear(12_500)
    assert bench.texts == ["ah"]
    assert bench.stretches == [(800, 3000)]


def test_what_lies_behind_the_last_pause_is_no_part_of_it() -> None:
    """However many pieces a long segment is in by then."""
    bench = Parting()
    bench.lane.allow_handover(False)
    bench.open()
    bench.hear(8000)
    bench.hear(8400, voiced=False)
    bench.hear(12_000)
    bench.close(continues=True)
    bench.open()
    bench.hear(14_000)
    bench.lane.allow_handover(True)
    bench.hear(14_100)
    assert bench.stretches == [(0, 8200)]
    assert bench.waiting == [(8200, 14_100)]


# -- what was set aside -----------------------------------------------------------------------------------------------


def test_the_answer_to_the_rest_of_a_segment_settles_nothing_of_it_that_was_set_aside() -> None:
    bench = with_a_pause()
    bench.close()
    bench.connect()
    end_three_times(bench, 1500)
    assert bench.aside
    bench.wait(bench.at + 3000)
    assert bench.sent() == [(3200, 5000)]
    bench.serve(final(0, 1800, "oh@300-1500", from_finalize=True))
    assert bench.texts == ["oh"]
    assert bench.waiting == [(0, 3200)]


def test_what_is_set_aside_leaves_the_next_segment_its_pre_roll() -> None:
    """The server that ended the connection received a part of that pre-roll."""
    bench = Bench(inflight_s=3)
    bench.say(2000)
    bench.wait(4000)
    bench.open()
    bench.hear(4600, voiced=False)
    bench.hear(6000)
    bench.close()
    bench.connect()
    end_three_times(bench, 1800)
    assert bench.aside == 2000
    bench.wait(bench.at + 4000)
    assert bench.sent() == [(4000, 6000)]


def test_nor_do_words_that_follow_in_a_segment_that_was_open_then() -> None:
    """No pause was known: it was set aside up to the quietest place near its end."""
    bench = Bench()
    bench.open()
    bench.hear(1500)
    bench.connect()
    end_three_times(bench, 1500)
    assert bench.aside
    aside = bench.aside
    assert 0 < aside < 1500
    assert bench.waiting == [(0, 1500)]
    bench.hear(bench.at + 2000, start=1500)
    end = bench.at
    bench.close()
    bench.wait(bench.at + 4000)
    assert bench.sent()[0][0] >= aside
    sent = sum(b - a for a, b in bench.sent())
    bench.serve(final(0, sent, "oh@300-1500", from_finalize=True))
    assert bench.texts == ["oh"]
    assert bench.waiting == [(0, aside)]
    assert end > aside
