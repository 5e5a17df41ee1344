"""`edged run`: capture, transcribe and write records until stopped."""

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
Capture, transcribe and write records in the foreground until stopped.
The log goes to standard error.

SIGTERM or SIGINT (Ctrl-C) stops edged after waiting up to daemon.stop_s for
final results; a second one stops it at once. SIGHUP reopens the transcript
file (for logrotate), or stops edged if its terminal was closed.
"""
EPILOG = """\
exit status:
  0    stopped, or the recording ended; everything is transcribed and written
  64   the command line is wrong
  70   a bug in edged
  75   stopped before all captured speech was transcribed and written
  78   the settings are wrong; restarting does not help
  130  interrupted with Ctrl-C; everything is transcribed and written

examples:
  edged run
  edged run --config kiosk.toml --summary summary.json
  edged run --set 'transcripts.sinks=["console"]' \\
            --set capture.device=plughw:CARD=Device
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to `edged`."""
    parser = subparsers.add_parser(
        "run",
        help="capture, transcribe and write records until stopped",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_configuration(parser)
    parser.add_argument(
        "--summary", metavar="FILE", type=Path, help="write the run's totals to FILE as JSON at the end"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the daemon and return its exit status."""
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
            except OSError as error:  # the run is over, and keeps its exit status
                logger.warning("the summary can't be written to %s: %s", arguments.summary, with_cure(error))

    return ExitStatus(process.run(settings, key, on_end))


def _try_to_write(file: Path) -> None:
    """Raise UsageError if the file can't be written: now, not after a day. Leaves no empty file behind."""
    try:
        there = file.exists()
        open(file, "ab", opener=_at_once).close()
        if not there:
            file.unlink()
    except OSError as error:
        raise UsageError(f"--summary {file} can't be written: {with_cure(error)}") from None


def _at_once(name: str, flags: int) -> int:
    """Open without blocking, so that a pipe without a reader is an error."""
    return os.open(name, flags | os.O_NONBLOCK, 0o666)
