import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edged.transcripts.outbox import Outbox, SinkCounts
from tests.transcripts.some import record, records


def ids(outbox: Outbox, sink: str, most: int = 100) -> list[str]:
    return [waiting.id for waiting in outbox.pending(sink, most)]


def test_each_sink_has_a_cursor_of_its_own() -> None:
    outbox = Outbox(["file", "journal"], 10)
    for each in records(1, 3):
        outbox.add(each)
    outbox.mark_delivered("file", ["id-1", "id-2"])
    assert ids(outbox, "file") == ["id-3"]
    assert ids(outbox, "journal", 2) == ["id-1", "id-2"]


def test_a_record_leaves_when_every_required_sink_has_it() -> None:
    outbox = Outbox(["file", "journal"], 10)
    outbox.add(record(1))
    assert outbox.mark_delivered("file", ["id-1"]) == []
    assert outbox.mark_delivered("journal", ["id-1"]) == ["id-1"]


def test_an_optional_sink_holds_no_record_back_and_still_gets_all_of_them() -> None:
    outbox = Outbox(["file", "console"], 10, optional=["console"])
    outbox.add(record(1))
    assert outbox.mark_delivered("file", ["id-1"]) == ["id-1"]
    assert ids(outbox, "console") == ["id-1"]


def test_where_all_sinks_are_optional_they_count_as_required() -> None:
    outbox = Outbox(["console"], 10, optional=["console"])
    outbox.add(record(1))
    assert outbox.mark_delivered("console", ["id-1"]) == ["id-1"]


def test_at_the_bound_the_oldest_record_is_evicted_for_that_sink_only_and_counted() -> None:
    outbox = Outbox(["file", "journal"], 2)
    outbox.add(record(1))
    outbox.mark_delivered("journal", ["id-1"])
    outbox.add(record(2))
    assert outbox.add(record(3)) == [("file", "id-1")]
    assert ids(outbox, "file") == ids(outbox, "journal") == ["id-2", "id-3"]
    assert outbox.counts("file") == SinkCounts(pending=2, delivered=0, undelivered=1)
    assert outbox.counts("journal") == SinkCounts(pending=2, delivered=1, undelivered=0)


def test_a_record_evicted_while_it_is_written_counts_as_delivered() -> None:
    outbox = Outbox(["file"], 1)
    outbox.add(record(1))
    outbox.pending("file", 1)
    outbox.add(record(2))
    assert outbox.mark_delivered("file", ["id-1"]) == ["id-1"]
    assert outbox.counts("file") == SinkCounts(pending=1, delivered=1, undelivered=0)


def test_a_record_from_a_spool_goes_only_to_the_sinks_that_lack_it() -> None:
    outbox = Outbox(["file", "journal"], 10)
    outbox.add(record(1), lacking=["journal"])
    assert ids(outbox, "file") == []
    assert outbox.mark_delivered("journal", ["id-1"]) == ["id-1"]


def test_ids_that_a_sink_does_not_lack_are_ignored() -> None:
    outbox = Outbox(["file"], 10)
    assert outbox.mark_delivered("file", ["id-9"]) == []
    assert outbox.counts("file") == SinkCounts(0, 0, 0)


def test_an_invalid_call_raises_and_changes_nothing() -> None:
    outbox = Outbox(["file", "journal"], 10)
    outbox.add(record(1))
    outbox.mark_delivered("file", ["id-1"])
    with pytest.raises(ValueError, match="already"):
        outbox.add(record(1))
    with pytest.raises(ValueError, match="no sink"):
        outbox.add(record(2), ["file", "fax"])
    assert (ids(outbox, "file"), ids(outbox, "journal")) == ([], ["id-1"])
    with pytest.raises(ValueError, match="no sink"):
        outbox.pending("fax", 1)
    with pytest.raises(ValueError, match="room"):
        Outbox(["file"], 0)


@given(st.lists(st.tuples(st.sampled_from(["file", "journal", "console"]), st.integers(0, 8)), max_size=30))
def test_the_outbox_is_bounded_however_differently_the_sinks_lag(history: list[tuple[str, int]]) -> None:
    sinks = ["file", "journal", "console"]
    outbox = Outbox(sinks, 5, optional=["console"])
    for number, (sink, most) in enumerate(history):
        outbox.add(record(number))
        outbox.mark_delivered(sink, ids(outbox, sink, most))
        assert len({id_ for each in sinks for id_ in ids(outbox, each)}) <= 5


SINKS = ["file", "journal", "console"]
BOUND = 5


class AnyHistory(RuleBasedStateMachine):
    """Against a model that keeps everything: which sink was ever given, told of, or robbed of which record."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(SINKS, BOUND, optional=["console"])
        self.count = 0
        self.lacks: dict[str, list[str]] = {sink: [] for sink in SINKS}
        self.has: dict[str, list[str]] = {sink: [] for sink in SINKS}
        self.robbed: dict[str, set[str]] = {sink: set() for sink in SINKS}
        self.handed: dict[str, list[str]] = {sink: [] for sink in SINKS}
        self.left: list[str] = []

    @rule(lacking=st.none() | st.sets(st.sampled_from(SINKS), min_size=1))
    def add(self, lacking: set[str] | None) -> None:
        self.count += 1
        new = record(self.count)
        gone = self.outbox.add(new, lacking)
        for sink in SINKS if lacking is None else lacking:
            self.lacks[sink].append(new.id)
            if len(self.lacks[sink]) > BOUND:
                oldest = self.lacks[sink].pop(0)
                self.robbed[sink].add(oldest)
                assert (sink, oldest) in gone
                gone.remove((sink, oldest))
        assert gone == []

    @rule(sink=st.sampled_from(SINKS), most=st.integers(1, 8))
    def take(self, sink: str, most: int) -> None:
        self.handed[sink] = ids(self.outbox, sink, most)
        assert self.handed[sink] == self.lacks[sink][:most]

    @precondition(lambda self: any(self.handed.values()))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        sink = data.draw(st.sampled_from([sink for sink in SINKS if self.handed[sink]]))
        done = self.handed[sink][: data.draw(st.integers(0, len(self.handed[sink])))]
        left = self.outbox.mark_delivered(sink, done)
        for id_ in done:
            if id_ in self.lacks[sink]:
                self.lacks[sink].remove(id_)
            self.robbed[sink].discard(id_)
            self.has[sink].append(id_)
        self.handed[sink] = self.handed[sink][len(done) :]
        assert left == [id_ for id_ in done if not any(id_ in self.lacks[other] for other in ("file", "journal"))]

    @invariant()
    def every_record_is_in_one_place_for_each_sink_and_none_comes_twice(self) -> None:
        for sink in SINKS:
            counts = self.outbox.counts(sink)
            assert counts == (len(self.lacks[sink]), len(self.has[sink]), len(self.robbed[sink]))
            assert counts.pending <= BOUND
            assert len(self.has[sink]) == len(set(self.has[sink]))


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
