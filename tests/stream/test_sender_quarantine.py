"""Quarantine: audio that has ended three sessions is kept, tried again later, and delays nothing else."""

from tests.stream.some import THREE, Bench, again, end_three_times, final, interim, talking, with_a_pause


def test_a_range_that_ends_three_sessions_is_set_aside_and_the_queue_goes_on() -> None:
    bench = Bench()
    bench.connect()
    bench.say(2000, silence=500)
    for _ in range(3):
        bench.wait(bench.at + 2600)
        bench.serve(interim(0, 1000))
        assert bench.sent() == [(0, 2500)]
        bench.lose(1011)
        bench.connect()
    assert bench.aside == 2500
    bench.say(bench.at + 2000)
    bench.wait(bench.at + 200)
    start, end = bench.sent()[0]
    assert start >= 2500
    bench.serve(final(0, end - start, "ah@100-900"))
    assert bench.texts == ["ah"]
    assert bench.waiting == [(0, 2500)]


def set_aside() -> Bench:
    """Make a bench whose audio up to 2000 has ended three sessions, with another session open."""
    bench = Bench()
    bench.connect()
    bench.say(2000, silence=500)
    end_three_times(bench, 2600)
    assert bench.aside == 2500
    return bench


def test_what_was_set_aside_is_tried_again_later() -> None:
    """The next connection after ten minutes sends the audio."""
    bench = set_aside()
    bench.lose()
    bench.wait(bench.at + 600_000)
    assert bench.lane.has_work(bench.now)
    bench.connect()
    bench.wait(bench.at + 3000)
    bench.serve(final(0, 2500, "ah@100-900"))
    assert bench.texts == ["ah"]


def test_a_connection_that_holds_is_ended_for_it_where_nobody_speaks() -> None:
    """A connection sends in order of position: what was set aside needs another."""
    bench = set_aside()
    bench.say(bench.at + 1000)
    [(start, end)] = bench.sent()
    bench.serve(final(0, end - start, "oh@100-900"))
    bench.wait(bench.at + 597_000)
    assert not bench.said("CloseStream")
    bench.open()
    bench.hear(bench.at + 6000)
    assert not bench.said("CloseStream")
    bench.close()
    [(_, first), (second, last)] = bench.sent()
    bench.serve(final(first - start, first - start + last - second, from_finalize=True))
    bench.wait(bench.at + 3000)
    assert len(bench.said("CloseStream")) == 1
    bench.lose(1000)
    assert bench.lane.has_work(bench.now)
    bench.connect()
    bench.wait(bench.at + 3000)
    assert bench.sent() == [(0, 2500)]


def test_at_the_end_what_was_set_aside_is_tried_once_more() -> None:
    bench = set_aside()
    bench.lane.finish()
    bench.poll()
    bench.lose(1000)
    assert bench.lane.has_work(bench.now)


def test_what_is_set_aside_ends_in_a_pause_so_that_no_word_is_cut_in_two() -> None:
    bench = with_a_pause()
    bench.connect()
    for _ in range(3):
        bench.wait(bench.at + 1500)
        bench.serve(interim(0, 1000))
        assert bench.sent()[-1][1] < 3000
        bench.lose(1011)
        bench.connect()
    assert bench.aside == 3200
    bench.wait(bench.at + 2000)
    assert bench.sent() == [(3200, 5000)]


def test_what_was_set_aside_becomes_a_record_though_what_follows_it_is_answered_already() -> None:
    bench = with_a_pause()
    bench.connect()
    end_three_times(bench, 1500)
    bench.wait(bench.at + 2000)
    bench.close()
    bench.serve(final(0, 1800, "oh@300-1700"))
    bench.lose()
    bench.wait(bench.at + 600_000)
    assert bench.lane.has_work(bench.now)
    bench.connect()
    bench.wait(bench.at + 3000)
    assert bench.sent() == [(0, 3200)]
    bench.serve(final(0, 3200, "ah@100-2900"))
    assert bench.records == [(3200, 5000, "oh"), (0, 3200, "ah")]
    assert bench.waiting == []


def test_poison_after_good_words_is_set_aside_after_three_sessions_too() -> None:
    """The words before it are recorded; each of its sessions ends at the same place."""
    bench = talking()
    bench.serve(final(0, 3200, THREE))
    sessions = 1
    while not bench.aside and sessions < 20:
        bench.lose(1011)
        bench.connect()
        bench.wait(bench.at + 5000)
        bench.serve(interim(0, 500))
        sessions += 1
    assert sessions <= 4
    assert bench.texts == ["ah oh"]


def test_sessions_without_a_result_set_nothing_aside() -> None:
    """The network ends such sessions, not the audio."""
    bench = Bench()
    bench.connect()
    bench.say(2000, silence=500)
    for _ in range(10):
        bench.wait(bench.at + 2600)
        bench.lose()
        bench.connect()
    assert bench.aside == 0
    assert again(bench) == [(0, 2500)]


def test_audio_that_was_answered_is_not_kept_behind_what_waits() -> None:
    """Quarantined audio may wait for long: memory must not grow with everything said meanwhile."""
    bench = set_aside()
    stream = 0
    for _ in range(50):
        bench.say(bench.at + 2000)
        bench.wait(bench.at + 200)
        bench.serve(final(stream, stream + 2000, f"ah@{stream + 100}-{stream + 1900}"))
        stream += 2000
    assert len(bench.texts) == 50
    assert bench.waiting == [(0, 2500)]
    assert sum(len(pcm) for _, pcm in bench.lane.pending._audio) == 2 * 2500
    assert len(bench.lane.pending.segments) <= 2
