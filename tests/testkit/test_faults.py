"""Orders of faults: how they are written, and when they strike."""

import pytest

from edged.model.errors import UsageError
from edged.testkit.faults import DueFault, Fault, FaultKind, FaultSchedule, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("refuse", Fault(FaultKind.REFUSE)),
        ("refuse:401*3", Fault(FaultKind.REFUSE, status=401, times=3)),
        ("refuse:429:30", Fault(FaultKind.REFUSE, status=429, retry_after="30")),
        ("portal:redirect@t5", Fault(FaultKind.PORTAL, variant="redirect", after_s=5.0)),
        ("hang", Fault(FaultKind.HANG)),
        ("reset@12.5", Fault(FaultKind.RESET, after_audio_s=12.5)),
        ("reset@word7", Fault(FaultKind.RESET, in_word=7)),
        ("close:1012@t10", Fault(FaultKind.CLOSE, code=1012, after_s=10.0)),
        ("close:1011:going: away*2", Fault(FaultKind.CLOSE, reason="going: away", times=2)),
        ("black_hole@3", Fault(FaultKind.BLACK_HOLE, after_audio_s=3.0)),
        ("stall:until_close", Fault(FaultKind.STALL, variant="until_close")),
        ("slow:0.25", Fault(FaultKind.SLOW, rate=0.25)),
        ("garbage", Fault(FaultKind.GARBAGE)),
        ("tear@word3", Fault(FaultKind.TEAR, in_word=3)),
    ],
)
def test_an_order_is_understood(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    "text",
    [
        "",
        "explode",
        "reset:1",
        "refuse:many",
        "refuse@12",
        "close@word",
        "reset@soon",
        "reset*0",
        "stall:maybe",
        "refuse:200",
        "refuse:777",
        "close:1006",
        "close:99",
        "slow:0",
        "slow:nan",
        "reset@nan",
        "reset@-1",
    ],
)
def test_an_order_that_can_not_be_followed_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--fault .*[^\n]$") as error:
        parse_fault(text)
    assert "\n" not in str(error.value)


def test_a_fault_strikes_at_its_very_sample() -> None:
    fault = Fault(FaultKind.RESET, after_samples=2500)
    orders = FaultSchedule((fault,))
    assert orders.take_at_audio(0, 0, 1600, 16_000) is None
    assert orders.take_at_audio(0, 1600, 1600, 16_000) == DueFault(fault, 900)
    assert orders.take_at_audio(0, 3200, 1600, 16_000) is None


def test_audio_is_counted_from_the_order_on() -> None:
    orders = FaultSchedule()
    orders.add(Fault(FaultKind.RESET, after_audio_s=0.1), received_samples=16_000)
    assert orders.take_at_audio(0, 16_000, 1599, 16_000) is None
    assert orders.take_at_audio(0, 17_599, 1600, 16_000) == DueFault(Fault(FaultKind.RESET, after_audio_s=0.1), 1)


def test_it_strikes_again_after_as_much_audio_each_time() -> None:
    orders = FaultSchedule((Fault(FaultKind.RESET, after_samples=1000, times=3),))
    struck = [at for at in range(0, 10_000, 100) if orders.take_at_audio(0, at, 100, 16_000)]
    assert struck == [900, 1900, 2900]


def test_a_word_may_be_struck_more_than_once() -> None:
    orders = FaultSchedule((Fault(FaultKind.RESET, in_word=2, times=2),))
    assert [bool(orders.take_at_word(number)) for number in (1, 2, 3, 2, 2)] == [False, True, False, True, False]


def test_a_time_is_a_condition_too() -> None:
    orders = FaultSchedule((Fault(FaultKind.STALL, after_s=5.0),))
    assert orders.take_at_audio(4.9, 0, 1600, 16_000) is None
    assert orders.take_at_audio(5.0, 0, 1600, 16_000) == DueFault(Fault(FaultKind.STALL, after_s=5.0), 0)


def test_handshakes_and_connections_do_not_take_each_others_faults() -> None:
    orders = FaultSchedule((Fault(FaultKind.REFUSE, times=2), Fault(FaultKind.RESET)))
    strike = orders.take_at_audio(0, 0, 1600, 16_000)
    assert strike is not None
    assert strike.fault.kind is FaultKind.RESET
    assert [bool(orders.take_at_handshake(0)) for _ in range(3)] == [True, True, False]
