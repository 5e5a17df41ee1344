"""The table."""

from edged.daemon.summary import Summary
from edged.demo.report import ReportLine, account, comparison

SUMMARY = Summary(
    run="r",
    captured_s=61.75,
    sent_s=32.375,
    keepalives=5,
    connections=2,
    reconnects=1,
    utterances=5,
    words=72,
    holes=0,
    evicted_s=0.0,
    left_s=0.0,
    usd_estimated=0.0042,
)
SHORT = ReportLine("he was not", ("he", "was"), ("he", "was", "not"))
LONG = ReportLine(
    "and mister john dashwood had then leisure " * 4, ("and", "mr", "john") * 9, ("and", "mister", "john") * 9
)


def test_it_shows_what_was_captured_sent_and_saved() -> None:
    assert account(SUMMARY) == [
        "  audio captured    61.8 s      KeepAlives     5",
        "  audio sent        32.4 s      reconnects     1",
        "  share saved          48%      words         72",
    ]


def test_each_sentence_stands_beside_what_was_recognised_with_its_error_rate() -> None:
    assert comparison([SHORT], 60) == [
        "                                             word error rate",
        "1  said      he was not",
        "   edged     he was                            1 of 3 =  33%",
        "   without   he was not                        0 of 3 =   0%",
        "all  edged                                     1 of 3 =  33%",
        "     without                                   0 of 3 =   0%",
    ]


def test_all_together_is_wrong_words_over_all_words_not_a_mean_of_rates() -> None:
    lines = comparison([SHORT, ReportLine("yes", ("no",), ("no",))], 60)
    assert lines[-2].split()[-5:] == ["2", "of", "4", "=", "50%"]


def test_no_line_is_wider_than_the_terminal() -> None:
    for columns in (50, 80, 100):
        assert max(map(len, comparison([SHORT, LONG], columns))) <= columns


def test_beyond_a_readable_width_it_does_not_grow() -> None:
    assert comparison([LONG], 300) == comparison([LONG], 100)


def test_without_a_comparison_there_is_none() -> None:
    assert not any("without" in line for line in comparison([SHORT._replace(whole=None)], 80))


def test_a_sentence_without_transcript_is_seen() -> None:
    lines = comparison([ReportLine("he was not", (), None)], 80)
    assert lines[2].split() == ["edged", "(nothing)", "3", "of", "3", "=", "100%"]
