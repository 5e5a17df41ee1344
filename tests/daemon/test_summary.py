"""The summary of a run."""

import msgspec

from edged.daemon.summary import Summary


def made(captured_s: float, sent_s: float) -> Summary:
    return Summary(
        run="r1",
        captured_s=captured_s,
        sent_s=sent_s,
        keepalives=7,
        connections=2,
        reconnects=1,
        utterances=3,
        words=12,
        holes=4,
        evicted_s=0.5,
        left_s=1.5,
        usd_estimated=0.01,
    )


def test_saved_is_the_share_of_the_captured_audio_that_need_not_be_sent() -> None:
    """Waiting audio still has to be sent, and evicted audio had to be: a refused run saves nothing with them."""
    assert made(100.0, 23.0).saved == 0.75
    refused = msgspec.structs.replace(made(100.0, 0.0), left_s=60.0, evicted_s=40.0)
    assert refused.saved == 0.0
    assert "(saved 0%" in refused.line()


def test_nothing_captured_saved_nothing() -> None:
    assert made(0.0, 0.0).saved == 0.0


def test_more_sent_than_captured_is_no_negative_saving() -> None:
    """Replays send audio again."""
    assert made(10.0, 12.0).saved == 0.0


def test_the_line_names_every_figure() -> None:
    assert made(100.0, 23.0).line() == (
        "captured 100.0 s, sent 23.0 s (saved 75%, about 0.0100 USD sent), 7 keep-alives, 2 connections"
        " (1 reconnect), 3 utterances, 12 words, 4 holes, 0.5 s evicted, 1.5 s left"
    )


def test_ignored_messages_are_named_if_there_were_any() -> None:
    """A server that keeps to the protocol sends none."""
    one = msgspec.structs.replace(made(100.0, 25.0), ignored_messages=1)
    assert one.line() == f"{made(100.0, 25.0).line()}, 1 message ignored"


def test_the_signals_figures_follow_where_there_is_something_to_tell() -> None:
    heard = msgspec.structs.replace(
        made(100.0, 25.0), peak_dbfs=-0.04, clipped=7, overruns=2, lost_s=0.31, dropped_s=5.0
    )
    more = ", peak -0.0 dBFS, 7 samples clipped, 2 overruns, 0.3 s lost, 5.0 s dropped"
    assert heard.line() == made(100.0, 25.0).line() + more


def test_what_there_is_one_of_is_not_many() -> None:
    counts = dict.fromkeys(("keepalives", "connections", "reconnects", "utterances", "words", "holes"), 1)
    line = msgspec.structs.replace(made(100.0, 25.0), **counts).line()
    assert "1 keep-alive, 1 connection (1 reconnect), 1 utterance, 1 word, 1 hole, " in line


def test_programs_get_the_figures_that_the_issue_names() -> None:
    fields = msgspec.to_builtins(made(100.0, 25.0))
    named = "captured_s sent_s saved keepalives connections reconnects utterances words holes evicted_s"
    assert set(named.split()) <= fields.keys()
