"""`edged run`: listen, transcribe and write down, until stopped."""

import argparse
import faulthandler
import logging
import os
from pathlib import Path

import msgspec

from edged import __version__, config, process
from edged.cli.common import add_configuration
from edged.contradictions import is_this_machine
from edged.errors import ConfigurationError, Exit
from edged.key import NO_KEY, read_key
from edged.service import log
from edged.summary import Summary


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "run",
        help="listen, transcribe and write down, until stopped",
        description="Runs in the foreground. SIGTERM and SIGINT (Ctrl-C) wait for the last words, daemon.stop_s at "
        "most, and end it; a second one ends it at once. SIGHUP opens the transcript file again (for logrotate).",
    )
    add_configuration(parser)
    parser.add_argument(
        "--summary", metavar="FILE", type=Path, help="at the end, write what the run came to to FILE, as JSON"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns the daemon's exit status."""
    loaded = config.load(arguments.config, arguments.set)
    settings = loaded.settings
    log.setup(settings.daemon.log_level)
    faulthandler.enable()  # the watchdog's SIGABRT: where each thread was goes to the journal
    logger = logging.getLogger("edged")
    key = read_key(settings, os.environ)
    for warning in [*loaded.warnings, *([key.warning] if key and key.warning else [])]:
        logger.warning("%s", warning)
    if key is None and not is_this_machine(settings.deepgram.url):
        logger.warning("%s", NO_KEY)
    logger.info("edged %s starts", __version__)

    def on_end(summary: Summary) -> None:
        logger.info("%s", summary.line())
        if arguments.summary:
            try:
                arguments.summary.write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
            except OSError as error:
                raise ConfigurationError(f"--summary {arguments.summary}: {error.strerror}") from None

    return Exit(process.run(settings, key, on_end))
