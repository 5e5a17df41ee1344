"""Machines that keep up, and others that don't. A block lasts 0.1 s."""

from edged.gate.load_monitor import OVERLOAD_S, LoadMonitor


def judged(monitor: LoadMonitor, took_s: float, blocks: int) -> list[bool]:
    return [monitor.add(0.1, took_s) for _ in range(blocks)]


def test_a_fast_machine_is_never_late() -> None:
    monitor = LoadMonitor()
    assert not any(judged(monitor, 0.001, 1000))
    assert monitor.late_s == 0


def test_a_pause_that_the_machine_catches_up_with_is_late_but_no_overload() -> None:
    """After a pause of a second the blocks of the next 0.9 s are judged late."""
    monitor = LoadMonitor()
    assert judged(monitor, 1.1, 1) == [False]
    assert not any(judged(monitor, 0.0, 20))
    assert 0.8 <= monitor.late_s <= 1.1


def test_a_machine_that_takes_twice_as_long_as_the_audio_is_soon_too_slow() -> None:
    verdicts = judged(LoadMonitor(), 0.2, 40)
    assert verdicts.index(True) == round(OVERLOAD_S / 0.1) - 1
