"""`edged` on a bad machine: its clock is set now and then, and its card stalls.

`python -m tests.kills.machine FILE run ...`; FILE says at any moment how the machine is. Nothing of this is in the
product: what it asks of the machine is wrapped here.
"""

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from edged.cli.main import main
from edged.service.clock import State, Synchronization
from edged.spool.database import Database

LOOK_S = 0.05
"""Interval at which a stalling card is polled."""


class Machine(NamedTuple):
    """The state of the simulated machine."""

    wrong_s: float = 0.0
    """The lead of the wall time over the true time, in seconds."""
    state: State = "synchronized"
    """The machine's knowledge of its clock."""
    stalls: bool = False
    """Nothing is written to the card: who wants that waits."""


def turn(file: Path, machine: Machine) -> None:
    """Set the state for all processes that run with this file."""
    new = file.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(machine))
    os.replace(new, file)


def run() -> int:
    """Returns the daemon's exit status."""
    _, name, *rest = sys.argv
    look = msgspec.json.Decoder(Machine).decode
    clock_gettime, fdatasync = time.clock_gettime, os.fdatasync
    execute, find_out = Database.execute, Synchronization._find_out

    def now() -> Machine:
        return look(Path(name).read_bytes())

    def wait() -> None:
        while now().stalls:
            time.sleep(LOOK_S)

    def set_clock(clock: int) -> float:
        return clock_gettime(clock) + (now().wrong_s if clock == time.CLOCK_REALTIME else 0.0)

    def synced(fd: int) -> None:
        wait()
        fdatasync(fd)

    def done(database: Database, statement: str, *values: object) -> None:
        if statement == "COMMIT" and database.tier == "disk":
            wait()
        execute(database, statement, *values)  # type: ignore[arg-type]  # passed on as they are

    def state(synchronization: Synchronization) -> State:
        find_out(synchronization)
        return now().state

    time.clock_gettime, os.fdatasync = set_clock, synced  # type: ignore[assignment]
    Database.execute, Synchronization._find_out = done, state  # type: ignore[method-assign,assignment]
    return main(rest)


if __name__ == "__main__":
    sys.exit(run())
