"""Audio is stored in few transactions and few rows; whatever else comes takes it along at once."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.spool.commands import (
    ROW_BYTES,
    LoadAudio,
    MarkDelivered,
    PutAudio,
    ReleaseAudio,
    WriteCommand,
    apply_to_pieces,
    drop_released_audio,
    join_adjacent_audio,
)
from edged.spool.worker import SpoolWorker
from tests.patience import PATIENCE_S
from tests.spool.some import Bench, answer, audio, commit, pcm, segment


def samples(orders: Sequence[WriteCommand]) -> dict[tuple[str, int], bytes]:
    """Of all audio, by run and position."""
    return {
        (command.run, command.position + i): command.pcm[2 * i : 2 * i + 2]
        for command in orders
        if isinstance(command, PutAudio)
        for i in range(len(command.pcm) // 2)
    }


@given(st.lists(st.tuples(st.sampled_from(["run-1", "run-2"]), st.sampled_from([10, 1600, 9000]), st.booleans())))
def test_joined_audio_is_the_same_in_the_same_places_and_no_row_is_longer_than_it_was_or_may_be(
    pieces: list[tuple[str, int, bool]],
) -> None:
    at, orders = 0, list[WriteCommand]()
    for run, length, after_a_hole in pieces:
        at += 5 if after_a_hole else 0
        orders.append(audio(at, at + length, ((at, at + 5),), run=run))
        at += length
    fewer = join_adjacent_audio(orders)
    assert samples(fewer) == samples(orders)
    longest = max((len(command.pcm) for command in orders if isinstance(command, PutAudio)), default=0)
    rows = [command for command in fewer if isinstance(command, PutAudio)]
    assert all(len(row.pcm) <= max(longest, ROW_BYTES) for row in rows)
    assert [range_ for row in rows for range_ in row.voiced] == [
        range_ for command in orders if isinstance(command, PutAudio) for range_ in command.voiced
    ]


def test_blocks_of_one_breath_become_rows_of_half_a_second_and_segments_stay_between_them() -> None:
    blocks = [audio(at, at + 1600) for at in range(0, 16_000, 1600)]
    told = join_adjacent_audio([*blocks, segment(0, 16_000), audio(16_000, 17_600)])
    assert [len(command.pcm) // 2 if isinstance(command, PutAudio) else 0 for command in told] == [8000, 8000, 0, 1600]


STRETCH = st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda drawn: (drawn[0], drawn[0] + drawn[1]))


def heard(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Sample by sample."""
    return [(at + i, data[2 * i : 2 * i + 2]) for at, data in pieces for i in range(len(data) // 2)]


@given(
    st.lists(STRETCH, max_size=3),
    st.lists(st.tuples(st.sampled_from(["audio", "release", "commit", "other run"]), STRETCH), max_size=6),
    STRETCH,
)
def test_what_is_not_written_yet_is_read_as_if_it_were(
    stored: list[tuple[int, int]], told: list[tuple[str, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    """Sample by sample: what was put, and neither answered nor let go of since."""
    waits = {at for start, end in stored for at in range(start, end)}
    pieces = [(at, pcm(at, at + 1)) for at in sorted(waits) if asked[0] <= at < asked[1]]
    orders: list[WriteCommand] = []
    for number, (what, (start, end)) in enumerate(told):
        match what:
            case "audio":
                orders.append(audio(start, end))
                waits.update(range(start, end))
            case "release":
                orders.append(ReleaseAudio("run-1", start, end))
                waits.difference_update(range(start, end))
            case "commit":
                orders.append(commit(answer(number, start, end)))
                waits.difference_update(range(start, end))
            case _:
                orders += [audio(start, end, run="run-2"), ReleaseAudio("run-2", start, end)]
    found = apply_to_pieces(orders, pieces, LoadAudio("run-1", *asked, lambda _: None))
    assert heard(found) == [(at, pcm(at, at + 1)) for at in sorted(waits) if asked[0] <= at < asked[1]]


@given(st.lists(st.tuples(st.sampled_from(["audio", "release", "commit", "other run"]), STRETCH), max_size=8), STRETCH)
def test_audio_that_is_answered_before_it_is_stored_is_left_out_and_nothing_else_changes(
    told: list[tuple[str, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    """What waits at the end is the same, and what is put is all of it waiting."""
    orders: list[WriteCommand] = []
    for number, (what, (start, end)) in enumerate(told):
        match what:
            case "audio":
                orders.append(audio(start, end, ((start, start + 1),)))
            case "release":
                orders.append(ReleaseAudio("run-1", start, end))
            case "commit":
                orders.append(commit(answer(number, start, end)))
            case _:
                orders += [audio(start, end, run="run-2"), ReleaseAudio("run-2", start, end)]
    fewer = drop_released_audio(orders)
    load = LoadAudio("run-1", *asked, lambda _: None)
    assert heard(apply_to_pieces(fewer, [], load)) == heard(apply_to_pieces(orders, [], load))
    assert [command for command in fewer if not isinstance(command, PutAudio)] == [
        command for command in orders if not isinstance(command, PutAudio)
    ]
    for number, command in enumerate(fewer):
        if isinstance(command, PutAudio):
            assert command.run == "run-1"
            assert command.pcm == pcm(command.position, command.end)
            whole = LoadAudio("run-1", command.position, command.end, lambda _: None)
            assert heard(apply_to_pieces(fewer[number:], [], whole)) == heard([(command.position, command.pcm)])


@pytest.mark.parametrize(("durability", "waits"), [("process", True), ("power", False)])
def test_audio_waits_for_company_and_goes_with_what_does_not(tmp_path: Path, durability: str, waits: bool) -> None:
    """The clock stands still, so that nothing becomes due by time. With `power` nothing waits."""
    bench = Bench(tmp_path, durability=durability)
    bench.begin()
    served: list[Sequence[object]] = []
    worker = bench.worker
    worker.start_gathering()
    serve = worker.process

    def counted(orders: Sequence[WriteCommand], now_s: float) -> None:
        if orders:
            served.append(orders)
        serve(orders, now_s)

    worker.process = counted  # type: ignore[method-assign,assignment]
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        worker.put(audio(0, 1600))
        wait_for(worker, 1600, within_s=0.1 if waits else PATIENCE_S)
        assert worker.stored_until == (0 if waits else 1600)
        worker.put(audio(1600, 3200))
        worker.put(MarkDelivered("file", ()))
        assert wait_for(worker, 3200, within_s=PATIENCE_S)
        assert len(served[0]) == (3 if waits else 1), "in one transaction"
    finally:
        worker.stop(5.0)
        thread.join(5.0)


def wait_for(worker: SpoolWorker, position: int, within_s: float) -> bool:
    until_s = time.monotonic() + within_s
    while worker.stored_until < position and time.monotonic() < until_s:
        time.sleep(0.005)
    return worker.stored_until >= position
