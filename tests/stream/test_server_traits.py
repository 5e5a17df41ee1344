"""Traits of a server, learned from how it ends connections, for all senders."""

import pytest

from edged.config.settings import DeepgramSettings
from edged.stream.server_traits import CloseKind, ConnectionClose, ServerTraits

DAY_S = 86_400.0


def traits(finalize: str = "auto") -> ServerTraits:
    return ServerTraits(DeepgramSettings(finalize=finalize))  # type: ignore[arg-type]  # one of three


def closed(code: int | None, finalized_s: float | None = 0.1) -> ConnectionClose:
    return ConnectionClose(code, draining=False, finals=True, finalized_s=finalized_s)


# -- Finalize ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "times"), [(4400, 1), (4000, 1), (1000, 2), (1005, 2), (1008, 3), (1011, 3), (1006, 3), (None, 3)]
)
def test_a_server_that_ends_connections_on_finalize_is_asked_no_more(code: int | None, times: int) -> None:
    """The less a close tells, the more of them in a row it takes."""
    one = traits()
    told = [one.closed(closed(code), now) for now in range(times)]
    assert [bool(text) for text in told] == [False] * (times - 1) + [True]
    assert not one.may_finalize(times)


def test_it_is_told_once_with_what_follows() -> None:
    one = traits()
    one.closed(closed(1005), 0)
    assert one.closed(closed(1005), 1) == (
        'the server ends the connection with code 1005 on Finalize: none is sent for a day, as with finalize = "off"'
    )
    assert one.closed(closed(1005), 2) is None, "one that was open already"


def test_a_connection_that_outlives_a_finalize_clears_it() -> None:
    one = traits()
    for now in range(9):
        one.closed(closed(1000, finalized_s=0.1 if now % 2 else 30), now)
    assert one.may_finalize(9)


def test_connections_without_a_finalize_tell_nothing_of_it() -> None:
    one = traits()
    one.closed(closed(1000), 0)
    one.closed(closed(1000, finalized_s=None), 1)
    assert one.may_finalize(2)
    one.closed(closed(1000), 2)
    assert not one.may_finalize(3)


def test_what_ends_after_close_stream_is_no_end_on_finalize() -> None:
    one = traits()
    for now in range(9):
        one.closed(closed(1000)._replace(draining=True), now)
    assert one.may_finalize(9)


def test_an_own_close_code_long_after_a_finalize_is_proof_too() -> None:
    """The server does not know Finalize and says so late: a connection without one would not end so."""
    one = traits()
    one.closed(closed(4400, finalized_s=30), 0)
    assert not one.may_finalize(1)


def test_after_a_day_it_is_tried_again_and_learned_at_once() -> None:
    one = traits()
    one.closed(closed(1000), 0)
    one.closed(closed(1000), 1)
    assert not one.may_finalize(DAY_S)
    assert one.may_finalize(1 + DAY_S)
    assert one.closed(closed(1000), 2 + DAY_S)
    assert not one.may_finalize(2 * DAY_S)


@pytest.mark.parametrize(("finalize", "may"), [("message", True), ("off", False)])
def test_what_is_set_is_not_learned(finalize: str, may: bool) -> None:
    one = traits(finalize)
    assert {one.closed(closed(4400), now) for now in range(9)} == {None}
    assert one.may_finalize(9) is may


# -- the end of a stream ----------------------------------------------------------------------------------------------


def test_metadata_says_that_all_was_said() -> None:
    """However the connection ends then."""
    assert traits().ending(None, draining=True, flushed=True) is CloseKind.FLUSHED
    assert traits().ending(1011, draining=True, flushed=True) is CloseKind.FLUSHED


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1011, None])
def test_a_close_that_nobody_asked_for_says_nothing(code: int | None) -> None:
    one = traits()
    one.closed(ConnectionClose(code, draining=True, finals=True, finalized_s=None), 0)
    assert one.ending(code, draining=False, flushed=False) is CloseKind.BROKEN


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        (1000, CloseKind.FLUSHED),
        (1005, CloseKind.FLUSHED),
        (1001, CloseKind.USUAL),
        (None, CloseKind.USUAL),
        (1011, CloseKind.CLOSED),
        (1012, CloseKind.CLOSED),
        (4500, CloseKind.CLOSED),
    ],
)
def test_how_a_server_ends_streams_on_which_it_gave_finals_is_its_way_to_say_that_it_was_all(
    code: int | None, ending: CloseKind
) -> None:
    """A relay whose recogniser is dead may end all streams at once, with nothing said; and errors are never a way."""
    one = traits()
    one.closed(ConnectionClose(code, draining=True, finals=False, finalized_s=None), 0)
    assert one.ending(code, draining=True, flushed=False) is CloseKind.CLOSED
    one.closed(ConnectionClose(code, draining=True, finals=True, finalized_s=None), 1)
    assert one.ending(code, draining=True, flushed=False) is ending
