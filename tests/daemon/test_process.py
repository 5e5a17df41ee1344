"""The process around the daemon: what it does about memory."""

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from edged.daemon.process import COLLECT_S, collect_regularly


class Ring:
    """Refers to itself, so that only a collection ends it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def thawed() -> Iterator[None]:
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("thawed")
def test_what_is_made_after_the_beginning_is_collected_every_ten_minutes() -> None:
    """Python's own collector would come to it in hours; what was there before is left alone for ever."""
    planned: list[tuple[float, Callable[[], None]]] = []

    def later() -> None:
        delay_s, collect = planned.pop()
        assert delay_s == COLLECT_S
        collect()

    collect_regularly(lambda delay_s, collect: planned.append((delay_s, collect)))
    early = weakref.ref(Ring())
    later()
    late = weakref.ref(Ring())
    later()
    assert early() is not None
    assert late() is None
    assert planned, "and again"
