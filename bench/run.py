"""What running edged costs, beside the least that Python can do and beside deepgram-sdk; writes bench/cost.md.

Three scenes are heard by all at the same time, in real time, from virtual microphones, with one local server; then come
delays, a burst after an outage, memory over an hour and over reconnects, weeks by a simulated clock, and instructions.
All of it takes two hours, most of them waiting; --only takes some of it, and the rest stays as it was measured before.

    script/bench run
    script/bench run --only scenes delays

Needs valgrind (instructions), iproute2 (`ss`) and a package index (deepgram-sdk, into .cache). Other programs disturb:
ratios stand, since they strike all alike; seconds do not. The exit status is 0 if everything ran, whatever the figures.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.cost import days, encodings, growth, instructions, moments, page, race, subjects

KEPT = subjects.ROOT / ".cache" / "cost.json"
"""Results of the latest measurement of each part."""


def main() -> int:
    """Returns the exit status."""
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--seconds", type=float, default=200, help="of each scene (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=60, help="of speech, for memory (default: %(default)s)")
    parser.add_argument("--reconnects", type=int, default=10_000, help="for memory (default: %(default)s)")
    parser.add_argument("--hours", type=int, default=1000, help="by the simulated clock (default: %(default)s)")
    parser.add_argument("--page", type=Path, default=page.PAGE, help="what is written (default: bench/cost.md)")
    arguments = parser.parse_args()
    subjects.prepare()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name in arguments.only:
        print(f"{name} ...", flush=True)
        kept[name] = {"when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "load": os.getloadavg()[1]}
        kept[name]["found"] = PARTS[name](arguments)
        kept["versions"] = versions()
        KEPT.write_text(json.dumps(kept, indent=1))
    text = page.page(kept)
    arguments.page.write_text(text)
    print(text)
    return 0


def scenes(arguments: argparse.Namespace) -> dict[str, Any]:
    """All subjects, scene by scene."""
    found = {}
    for name, script in race.scenes(arguments.seconds).items():
        spent = asyncio.run(race.race(script, arguments.seconds, subjects.ALL))
        found[name] = {who: each._asdict() for who, each in spent.items()}
    return found


def delays(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the delays with the default settings, and with a short period."""

    async def both() -> list[moments.Delays]:
        return await asyncio.gather(*(moments.delays(each, 60) for each in (subjects.EDGED, subjects.FAST)))

    names = (subjects.EDGED.name, subjects.FAST.name)
    return {
        name: {what: each._asdict() for what, each in found._asdict().items()}
        for name, found in zip(names, asyncio.run(both()), strict=True)
    }


def versions() -> dict[str, str]:
    """Return the versions of everything measured, and of the machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    packages = ("websockets", "pyalsaaudio", "webrtcvad-wheels", "msgspec")
    return {
        "Python": platform.python_version(),
        "machine": f"{platform.machine()}, {model}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}",
        **{name: version(name) for name in packages},
        "deepgram-sdk": subjects.locked("deepgram-sdk"),
    }


def weeks(arguments: argparse.Namespace) -> dict[str, Any]:
    """Weeks by the simulated clock."""
    looks, world = days.days(arguments.hours)
    said = world.hours_of_talk * len(world.script.words)
    return {
        "looks": [look._asdict() for look in looks],
        "said": said,
        "heard": world.words_heard,
        "connections": world.connections,
    }


def counted(arguments: argparse.Namespace) -> dict[str, Any]:
    """Instructions, which are checked in as well."""
    found = instructions.count()
    instructions.record(found)
    return {"build": instructions.build(), **found._asdict()}


PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "scenes": scenes,
    "starts": lambda _: {name: each._asdict() for name, each in asyncio.run(moments.starts(15))._asdict().items()},
    "delays": delays,
    "burst": lambda _: asyncio.run(moments.burst(50))._asdict(),
    "encodings": lambda _: {name: each._asdict() for name, each in encodings.encodings().items()},
    "reconnects": lambda arguments: asyncio.run(growth.reconnects(arguments.reconnects))._asdict(),
    "instructions": counted,
    "weeks": weeks,
    "hour": lambda arguments: asyncio.run(growth.hour(arguments.minutes))._asdict(),
}


if __name__ == "__main__":
    sys.exit(main())
