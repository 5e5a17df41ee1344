import pytest

from edged.spool.capture_time import Anchor, Boot, PositionClock, age_s, later

HERE = Boot("here", 1_800_000_000.0, True)
BEFORE = Boot("before", 1_799_990_000.0, True)


def test_each_anchor_holds_until_the_next() -> None:
    line = PositionClock([Anchor(0, 10.0), Anchor(16_000, 50.0)], 16_000)
    assert [line.at_s(position) for position in (0, 8000, 16_000, 24_000)] == [10.0, 10.5, 50.0, 50.5]


def test_a_line_without_an_anchor_is_refused() -> None:
    with pytest.raises(ValueError, match="anchor"):
        PositionClock([], 16_000)


def test_in_one_boot_age_is_elapsed_time_whatever_the_clock_says() -> None:
    assert age_s(100.0, HERE._replace(wall_offset_s=0.0, synchronized=False), HERE, 400.0) == 300.0


def test_across_boots_wall_times_count_where_both_clocks_were_set() -> None:
    """Captured 100 s into a boot that began 10,000 s before this one."""
    assert age_s(100.0, BEFORE, HERE, 400.0) == 10_300.0


@pytest.mark.parametrize("captured", [None, BEFORE._replace(synchronized=False), Boot("before", 0.0, False)])
def test_a_wall_time_of_a_clock_that_was_not_set_makes_nothing_old(captured: Boot | None) -> None:
    """Without a battery clock a boot begins in January, and NTP makes it November: that is no age."""
    assert age_s(100.0, captured, HERE, 400.0) == 400.0


def test_nor_does_a_clock_that_is_not_set_now() -> None:
    assert age_s(100.0, BEFORE, HERE._replace(synchronized=False), 400.0) == 400.0


def test_a_clock_that_was_set_back_makes_nothing_younger_than_this_boot() -> None:
    assert age_s(100.0, BEFORE._replace(wall_offset_s=1_900_000_000.0), HERE, 400.0) == 400.0


def test_a_boot_that_was_ever_synchronised_keeps_that_offset() -> None:
    worse = BEFORE._replace(wall_offset_s=1.0, synchronized=False)
    assert later(BEFORE, worse) == BEFORE
    assert later(worse, BEFORE) == BEFORE
    assert later(None, worse) == worse
    assert later(BEFORE, BEFORE._replace(wall_offset_s=2.0)).wall_offset_s == 2.0
