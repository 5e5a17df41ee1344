"""The ranges that pass, for assertions."""

from edged.gate.gate import GateEvent, PassedRange


def spans(events: list[GateEvent]) -> list[tuple[int, int]]:
    """Return the ranges that pass, event by event."""
    return [(event.start, event.end) for event in events if isinstance(event, PassedRange)]


def joined(events: list[GateEvent]) -> list[tuple[int, int]]:
    """Return the ranges that pass; adjacent ones are joined."""
    spans: list[tuple[int, int]] = []
    for event in events:
        if isinstance(event, PassedRange):
            if spans and spans[-1][1] == event.start:
                spans[-1] = (spans[-1][0], event.end)
            else:
                spans.append((event.start, event.end))
    return spans
