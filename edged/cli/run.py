"""`edged run`: listen, transcribe and write down, until stopped."""

import argparse
import faulthandler
import logging
import os
from pathlib import Path

import msgspec

from edged import __version__
from edged.cli.common import add_configuration
from edged.config import loader
from edged.config.api_key import NO_KEY, read_key
from edged.daemon import process
from edged.daemon.summary import Summary
from edged.model.cures import with_cure
from edged.model.errors import ExitStatus, UsageError
from edged.model.message_ids import MessageId
from edged.model.urls import is_local_host
from edged.service import log
from edged.transcripts.sinks import registry

DESCRIPTION = """\
Listen, transcribe and write down, in the foreground, until stopped. The log goes to standard error.

SIGTERM and SIGINT (Ctrl-C) wait for the last words, daemon.stop_s at most, and end it; a second one ends it at once.
SIGHUP opens the transcript file again (for logrotate); the SIGHUP of a terminal that was closed stops it.
"""
EPILOG = """\
exit status: 0 stopped, or the recording has ended, and all is transcribed and written; 64 the command line can't be
  followed; 70 a fault of edged itself; 75 stopped while captured speech was not yet transcribed or written;
  78 the settings are wrong, starting again won't help; 130 interrupted with Ctrl-C, all is transcribed and written

examples:
  edged run
  edged run --config kiosk.toml --summary summary.json
  edged run --set 'transcripts.sinks=["console"]' --set capture.device=plughw:CARD=Device
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "run",
        help="listen, transcribe and write down, until stopped",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_configuration(parser)
    parser.add_argument(
        "--summary", metavar="FILE", type=Path, help="at the end, write to FILE what the run came to, as JSON"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns the daemon's exit status."""
    if arguments.summary:
        _try_to_write(arguments.summary)
    loaded = loader.load(arguments.config, arguments.set)
    settings = loaded.settings
    log.setup(settings.daemon.log_level, over_interims=registry.shows_interims(settings.transcripts.sinks))
    faulthandler.enable()  # the watchdog's SIGABRT: where each thread was goes to the journal
    logger = logging.getLogger("edged")
    key = read_key(settings, os.environ)
    for warning in [*loaded.warnings, *([key.warning] if key and key.warning else [])]:
        logger.warning("%s", warning)
    for warning in registry.storage_warnings(settings.transcripts, os.environ):
        logger.warning("%s", warning)
    if key is None and not is_local_host(settings.deepgram.url):
        logger.warning("%s", NO_KEY, extra={"message_id": MessageId.KEY_ABSENT})
    logger.info("edged %s starts", __version__)

    def on_end(summary: Summary) -> None:
        logger.info("%s", summary.line())
        if arguments.summary:
            try:
                with open(arguments.summary, "wb", opener=_at_once) as file:
                    file.write(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
            except OSError as error:  # the run is over: what it came to stays its status
                logger.warning("the summary can't be written to %s: %s", arguments.summary, with_cure(error))

    return ExitStatus(process.run(settings, key, on_end))


def _try_to_write(file: Path) -> None:
    """Raises UsageError if it can't be written, now and not after a day; leaves no empty file."""
    try:
        there = file.exists()
        open(file, "ab", opener=_at_once).close()
        if not there:
            file.unlink()
    except OSError as error:
        raise UsageError(f"--summary {file} can't be written: {with_cure(error)}") from None


def _at_once(name: str, flags: int) -> int:
    """Open without waiting: a pipe that nobody reads is an error."""
    return os.open(name, flags | os.O_NONBLOCK, 0o666)
