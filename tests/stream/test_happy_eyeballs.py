"""The order of addresses to try: one that answers never waits for one that does not."""

import pytest

from edged.stream.happy_eyeballs import MAX_SUSPECTS, Address, AddressFamily, HappyEyeballs, SuspectAddresses

SIX: list[Address] = [("2001:db8::1", 443, 0, 0), ("2001:db8::2", 443, 0, 0)]
FOUR: list[Address] = [("192.0.2.1", 443), ("192.0.2.2", 443)]


def race(*doubted: Address, six: list[Address] = SIX, four: list[Address] = FOUR) -> HappyEyeballs:
    """Both look-ups have ended at 0 s."""
    doubts = SuspectAddresses()
    for address in doubted:
        doubts.add(address)
    eyeballs = HappyEyeballs(doubts)
    eyeballs.add_addresses(AddressFamily.IPV4, four, 0)
    eyeballs.add_addresses(AddressFamily.IPV6, six, 0)
    return eyeballs


def begun(eyeballs: HappyEyeballs) -> list[tuple[float, Address]]:
    """When each address is tried if none ever answers."""
    tried = []
    while (now_s := eyeballs.next_attempt_at_s()) is not None:
        address = eyeballs.start_attempt(now_s)
        assert address
        tried.append((now_s, address))
    return tried


def test_the_families_take_turns_and_none_waits_long_for_another() -> None:
    assert begun(race()) == [(0, SIX[0]), (0.25, FOUR[0]), (0.5, SIX[1]), (0.75, FOUR[1])]


@pytest.mark.parametrize(("six", "four"), [(SIX, []), ([], FOUR)])
def test_every_address_of_one_family_is_tried(six: list[Address], four: list[Address]) -> None:
    assert [address for _, address in begun(race(six=six, four=four))] == six + four


def test_after_a_failure_the_next_is_tried_at_once() -> None:
    eyeballs = race()
    assert eyeballs.start_attempt(0) == SIX[0]
    assert eyeballs.start_attempt(0.01) is None
    eyeballs.attempt_failed(0.02)
    assert eyeballs.start_attempt(0.02) == FOUR[0]
    assert not eyeballs.exhausted


def test_it_is_over_when_all_have_failed() -> None:
    eyeballs = race(six=SIX[:1], four=[])
    assert eyeballs.start_attempt(0)
    assert not eyeballs.exhausted
    eyeballs.attempt_failed(1)
    assert eyeballs.exhausted


def test_a_look_up_that_hangs_keeps_no_address_waiting() -> None:
    """Some resolvers drop questions for IPv6 addresses; one that comes late is still tried."""
    eyeballs = HappyEyeballs(SuspectAddresses())
    eyeballs.add_addresses(AddressFamily.IPV4, FOUR[:1], 1)
    assert eyeballs.start_attempt(1) is None, "that of IPv6 is given a moment"
    assert eyeballs.start_attempt(1.05) == FOUR[0]
    eyeballs.attempt_failed(1.1)
    assert not eyeballs.exhausted
    eyeballs.add_addresses(AddressFamily.IPV6, SIX[:1], 5)
    assert eyeballs.start_attempt(5) == SIX[0]


def test_ipv6_that_is_found_first_begins_at_once() -> None:
    eyeballs = HappyEyeballs(SuspectAddresses())
    eyeballs.add_addresses(AddressFamily.IPV6, SIX, 1)
    assert eyeballs.start_attempt(1) == SIX[0]


def test_without_ipv6_addresses_nothing_waits() -> None:
    eyeballs = HappyEyeballs(SuspectAddresses())
    eyeballs.add_addresses(AddressFamily.IPV4, FOUR, 1)
    eyeballs.add_addresses(AddressFamily.IPV6, [], 1.001)
    assert eyeballs.start_attempt(1.001) == FOUR[0]


def test_an_address_that_hung_is_tried_last_and_later() -> None:
    """A slow mobile network takes a second for a handshake: that must not lose against one that hangs afterwards."""
    assert begun(race(SIX[0], six=SIX[:1], four=FOUR)) == [(0, FOUR[0]), (0.25, FOUR[1]), (2.25, SIX[0])]


def test_addresses_that_all_hung_are_tried_as_others() -> None:
    tried = begun(race(*SIX, *FOUR))
    assert [address for _, address in tried] == [SIX[0], FOUR[0], SIX[1], FOUR[1]]
    assert tried[0][0] == 0


def test_doubts_are_few() -> None:
    """A name that leads to other addresses each time fills no memory."""
    doubts = SuspectAddresses()
    for i in range(MAX_SUSPECTS + 1):
        doubts.add((f"192.0.2.{i}", 443))
    assert ("192.0.2.0", 443) not in doubts
    assert (f"192.0.2.{MAX_SUSPECTS}", 443) in doubts
    doubts.remove((f"192.0.2.{MAX_SUSPECTS}", 443))
    assert (f"192.0.2.{MAX_SUSPECTS}", 443) not in doubts
