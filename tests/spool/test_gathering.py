"""Audio is stored in few rows."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from edged.spool.orders import ROW_BYTES, PutAudio, Write, joined
from tests.spool.some import audio, segment


def samples(orders: Sequence[Write]) -> dict[tuple[str, int], bytes]:
    """Of all audio, by run and position."""
    return {
        (order.run, order.position + i): order.pcm[2 * i : 2 * i + 2]
        for order in orders
        if isinstance(order, PutAudio)
        for i in range(len(order.pcm) // 2)
    }


@given(st.lists(st.tuples(st.sampled_from(["run-1", "run-2"]), st.sampled_from([10, 1600, 9000]), st.booleans())))
def test_joined_audio_is_the_same_in_the_same_places_and_no_row_is_longer_than_it_was_or_may_be(
    pieces: list[tuple[str, int, bool]],
) -> None:
    at, orders = 0, list[Write]()
    for run, length, after_a_hole in pieces:
        at += 5 if after_a_hole else 0
        orders.append(audio(at, at + length, ((at, at + 5),), run=run))
        at += length
    fewer = joined(orders)
    assert samples(fewer) == samples(orders)
    longest = max((len(order.pcm) for order in orders if isinstance(order, PutAudio)), default=0)
    rows = [order for order in fewer if isinstance(order, PutAudio)]
    assert all(len(row.pcm) <= max(longest, ROW_BYTES) for row in rows)
    assert [range_ for row in rows for range_ in row.voiced] == [
        range_ for order in orders if isinstance(order, PutAudio) for range_ in order.voiced
    ]


def test_blocks_of_one_breath_become_rows_of_half_a_second_and_segments_stay_between_them() -> None:
    blocks = [audio(at, at + 1600) for at in range(0, 16_000, 1600)]
    told = joined([*blocks, segment(0, 16_000), audio(16_000, 17_600)])
    assert [len(order.pcm) // 2 if isinstance(order, PutAudio) else 0 for order in told] == [8000, 8000, 0, 1600]
