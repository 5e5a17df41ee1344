"""`edged spool`: show, export or delete speech that waits for a transcript."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Final

from edged.cli.common import add_configuration
from edged.config import loader
from edged.model.cures import with_cure
from edged.model.errors import ExitStatus, UsageError
from edged.service.clock import timestamp
from edged.service.log import duration
from edged.spool.inspection import Progress, SpoolSnapshot, drop, export, find_older_than, look

DESCRIPTION = """\
Show, export or delete speech that waits for a transcript. The spool keeps it in
spool.runtime_directory for some seconds, and in spool.directory when it waits
longer. Every action works while edged runs.

  edged spool status                 how much waits, since when, and its size
  edged spool export DIR             write it as WAV files, with an index.json
  edged spool drop --older-than 2d   delete what has waited longer (asks first)
"""
EPILOG = """\
Age is elapsed time as far as it is known: audio from before a reboot whose
clock was never set counts as no older than this boot.

exit status: 0 done, also with nothing to do; 64 the command line is wrong, or
  the answer was no; 70 the spool can't be read; 78 the settings are wrong.
"""

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

BAR: Final = 30
"""Width of the progress bar, in columns."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `edged`."""
    parser = subparsers.add_parser(
        "spool",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    status = actions.add_parser(
        "status", help="show how much waits", description="Show how much speech waits, and since when."
    )
    status.set_defaults(run=_status)
    exporting = actions.add_parser(
        "export",
        help="write it as WAV files",
        description="Write the waiting speech as WAV files named by time (UTC), and an index.json that describes them.",
    )
    exporting.add_argument("directory", metavar="DIR", type=Path, help="empty directory; created if absent")
    exporting.set_defaults(run=_export)
    dropping = actions.add_parser(
        "drop",
        help="delete what has waited too long",
        description="Delete speech that has waited longer than AGE; asks first.",
    )
    dropping.add_argument(
        "--older-than", metavar="AGE", required=True, type=_age_s, help="such as 90s, 30m, 12h, 2d or 1w"
    )
    dropping.add_argument("--yes", action="store_true", help="delete without asking")
    dropping.set_defaults(run=_drop)
    for each in (status, exporting, dropping):
        add_configuration(each)


def _age_s(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text}: expected a number and s, m, h, d or w, such as 2d")
    return float(match[1]) * UNITS[match[2]]


def _status(arguments: argparse.Namespace) -> int:
    settings = loader.load(arguments.config, arguments.set).settings.spool
    with look(settings) as seen:
        for line in report(seen):
            print(line)
    return ExitStatus.OK


def report(seen: SpoolSnapshot) -> list[str]:
    """Return the lines that `status` prints."""
    lines = []
    for store in seen.stores:
        held_bytes = 2 * sum(store.audio.samples_by_run.values())
        space_bytes = store.path.stat().st_size + store.database.log_bytes()
        place = "in memory" if store.tier == "runtime" else "on disk"
        lines.append(
            f"{place:<10} {held_bytes / 1e6:9.2f} MB of speech in {space_bytes / 1e6:.2f} MB of space: {store.path}"
        )
    records = [entry for store in seen.stores for entry in store.outbox.list_entries()]
    undelivered = sum(not entry.done for entry in records)
    lines.append(f"{'outbox':<10} {len(records):6} records, {undelivered} of them not yet delivered to every sink")
    for path in sorted(path for directory in seen.paths for path in directory.glob("*.bad-*")):
        if not path.name.endswith(("-wal", "-shm")):
            lines.append(f"{'damaged':<10} {path.stat().st_size / 1e6:9.2f} MB moved aside: {path}")
    if not seen.backlogs:
        return [*lines, "nothing waits for a transcript"]
    lines += ["", f"{'run':<14}{'from (UTC)':<26}{'waits':>12}{'MB':>10}{'pieces':>8}   oldest"]
    for backlog in seen.backlogs:
        first = backlog.ranges[0].start
        wall_s = seen.wall_s(backlog, first)
        doubt = "" if backlog.boot and backlog.boot.synchronized else "?"
        since = "unknown" if wall_s is None else timestamp(wall_s) + doubt
        samples = sum(each.end - each.start for each in backlog.ranges)
        lines.append(
            f"{backlog.run.run:<14}{since:<26}{duration(backlog.seconds):>12}{2 * samples / 1e6:>10.2f}"
            f"{len(backlog.ranges):>8}   {duration(backlog.age_s)}"
        )
    total_s = sum(backlog.seconds for backlog in seen.backlogs)
    return [*lines, f"{duration(total_s)} of speech wait in total"]


def _export(arguments: argparse.Namespace) -> int:
    settings = loader.load(arguments.config, arguments.set).settings.spool
    directory: Path = arguments.directory
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty: name another directory")
        with look(settings) as seen:
            index = export(seen, directory, _progress())
        file = directory / "index.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename or directory}: {with_cure(error)}") from error
    seconds = sum(each["seconds"] for each in index)
    print(f"{duration(seconds)} of speech in {len(index)} file{'s'[: len(index) != 1]}: {file}")
    return ExitStatus.OK


def _drop(arguments: argparse.Namespace) -> int:
    settings = loader.load(arguments.config, arguments.set).settings.spool
    with look(settings) as seen:
        old = find_older_than(seen, arguments.older_than)
        seconds = sum((end - start) / backlog.run.rate for backlog, ranges in old for start, end in ranges)
    if not old:
        print("nothing has waited that long")
        return ExitStatus.OK
    question = f"{duration(seconds)} of speech of {len(old)} run{'s'[: len(old) != 1]} will never be transcribed."
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{question} Pass --yes to confirm: standard input is not a terminal")
        if input(f"{question} Drop it? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was dropped")
            return ExitStatus.USAGE
    with look(settings, to_read=False) as seen:
        drop(seen, old, _progress())
    print(f"{duration(seconds)} of speech dropped")
    return ExitStatus.OK


def _progress() -> Progress:
    """Return a progress bar for a terminal; elsewhere a function that does nothing."""
    if not sys.stderr.isatty():
        return lambda done, total: None

    def show(done: float, total: float) -> None:
        share = done / total if total else 1.0
        end = "\n" if share >= 1 else ""
        print(f"\r[{'#' * round(BAR * share):<{BAR}}] {share:4.0%}", end=end, file=sys.stderr, flush=True)

    return show
