"""Two of the kernel's own cards of one kind, and a user who may not open them."""

import asyncio

import pytest

from tests.vm.conftest import House

pytestmark = pytest.mark.slow

EDGED = "/opt/edged/bin/edged"
PORT = "plughw:CARD=/dev/snd/by-path/platform-snd_aloop.0"
"""The link that udev makes for the loop-back card."""


def test_of_two_cards_of_a_kind_each_has_a_name_by_its_port_and_is_opened_by_it(
    house: House, loop: asyncio.Runner
) -> None:
    async def story() -> None:
        await house.begin(card=False)
        await house.machine.run("modprobe", "snd-aloop", "enable=1,1")
        await house.machine.run("udevadm", "settle")
        listed = await house.machine.run(EDGED, "devices")
        assert "plughw:CARD=Loopback may be another card after the next start" in listed, listed
        assert PORT in listed, listed
        assert "plughw:CARD=Loopback_1" in listed, listed
        await house.begin(capture__device=PORT)
        await house.service.shows(f"capturing {PORT}")

    loop.run(story())


def test_a_user_outside_the_cards_group_is_told_its_name(house: House, loop: asyncio.Runner) -> None:
    async def story() -> None:
        await house.begin()
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        listed = await house.machine.run(*nobody, EDGED, "devices")
        assert "may not be opened by this user: add it to the group `audio`" in listed, listed

    loop.run(story())
