"""Reconciliation after a crash: audio of a record that any sink holds is released, and every sink gets it once."""

import pytest

from edged.model.record import Record
from edged.transcripts.reconciliation import Reconciliation, SinkContents, reconcile
from tests.transcripts.some import record

SINKS = ("file", "journal")
NOTHING = SinkContents(frozenset(), ())


def answer(number: int, start: int, end: int, run: str = "run-1") -> Record:
    return record(number, from_=start, to=end, run=run)


def holding(*records: Record) -> SinkContents:
    return SinkContents(frozenset(each.id for each in records), records)


ONE, TWO, THREE = answer(1, 0, 10), answer(2, 10, 20), answer(3, 20, 30)


@pytest.mark.parametrize(
    ("held", "delivered", "again"),
    [
        pytest.param({"file": NOTHING, "journal": NOTHING}, {}, [(ONE, SINKS)], id="nobody has it"),
        pytest.param({"file": holding(ONE), "journal": NOTHING}, {"file": {"id-1"}}, [(ONE, ("journal",))], id="one"),
        pytest.param(
            {"file": holding(ONE), "journal": holding(ONE)}, {"file": {"id-1"}, "journal": {"id-1"}}, [], id="both"
        ),
        pytest.param({"file": NOTHING}, {}, [(ONE, SINKS)], id="one can't be read: taken to have nothing"),
        pytest.param(
            {"file": SinkContents(frozenset({"id-1"}), ()), "journal": NOTHING},
            {"file": {"id-1"}},
            [(ONE, ("journal",))],
            id="known by its id alone",
        ),
    ],
)
def test_a_pending_record_goes_to_the_sinks_that_do_not_have_it(
    held: dict[str, SinkContents], delivered: dict[str, set[str]], again: list[tuple[Record, tuple[str, ...]]]
) -> None:
    assert reconcile([(ONE, SINKS)], [], held, SINKS, ("journal",)) == Reconciliation(delivered, [], again)


def test_a_sink_is_asked_only_for_what_it_lacks() -> None:
    held = {"file": holding(ONE), "journal": NOTHING}
    assert reconcile([(ONE, ("journal",))], [], held, SINKS, ("journal",)) == Reconciliation(
        {}, [], [(ONE, ("journal",))]
    )


def test_a_record_whose_samples_a_sink_has_in_other_records_is_delivered() -> None:
    """A power cut undid their commit, the audio was recognised again: these are the same words."""
    again = answer(9, 2, 18)
    settled = reconcile([(again, ("file",))], [], {"file": holding(ONE, TWO)}, ("file",), ())
    assert settled.delivered == {"file": {"id-9"}}
    assert settled.to_deliver == []


@pytest.mark.parametrize("other", [answer(9, 1, 10), answer(9, 0, 9), answer(9, 0, 10, run="run-2")])
def test_a_record_of_which_a_sink_has_only_a_part_is_not_delivered(other: Record) -> None:
    settled = reconcile([(ONE, ("file",))], [], {"file": holding(other)}, ("file",), ())
    assert settled.delivered == {}
    assert settled.to_deliver[0] == (ONE, ("file",))


def test_a_record_that_only_sinks_know_is_adopted() -> None:
    """A record whose commit was lost is committed again, and not delivered to sinks that have it."""
    settled = reconcile([], [], {"file": holding(ONE, TWO), "journal": holding(ONE, TWO)}, SINKS, ("journal",))
    assert settled == Reconciliation({}, [(ONE, SINKS), (TWO, SINKS)], [])


def test_a_record_that_one_sink_has_and_another_lacks_is_delivered_there_word_for_word() -> None:
    settled = reconcile([], [], {"file": holding(ONE, TWO), "journal": holding(TWO, THREE)}, SINKS, ("journal",))
    assert settled.adopted == [(ONE, ("file",)), (TWO, SINKS), (THREE, ("journal",))]
    assert settled.to_deliver == [(ONE, ("journal",)), (THREE, ("file",))]


def test_two_sinks_that_have_the_same_samples_in_different_records_get_nothing_more() -> None:
    """A double that is there cannot be undone; it is not made worse."""
    other = answer(9, 0, 20)
    settled = reconcile([], [], {"file": holding(ONE, TWO), "journal": holding(other)}, SINKS, ("journal",))
    assert settled.to_deliver == []
    assert {each.id for each, _ in settled.adopted} == {"id-1", "id-2", "id-9"}


def test_a_record_in_the_outbox_is_not_adopted() -> None:
    settled = reconcile(
        [(ONE, SINKS)],
        [TWO],
        {"file": holding(ONE, TWO), "journal": holding(ONE, TWO)},
        SINKS,
        ("journal",),
    )
    assert settled == Reconciliation({"file": {"id-1"}, "journal": {"id-1"}}, [], [])


@pytest.mark.parametrize(
    ("held", "again"),
    [
        ({"file": NOTHING, "journal": NOTHING}, [(ONE, ("journal",))]),
        ({"file": NOTHING, "journal": holding(ONE)}, []),
        ({"file": NOTHING}, []),
    ],
)
def test_a_record_that_a_journal_accepted_and_lost_is_delivered_to_it_again(
    held: dict[str, SinkContents], again: list[tuple[Record, tuple[str, ...]]]
) -> None:
    """journald stores minutes after it accepts. A file keeps its records; an unreadable journal gets nothing again."""
    assert reconcile([], [ONE], held, SINKS, ("journal",)).to_deliver == again
