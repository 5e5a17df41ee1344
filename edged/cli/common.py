"""Options that several commands share."""

import argparse
from pathlib import Path

from edged.config.loader import DEFAULT_PATH


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Add `--config FILE` (`arguments.config`, or None) and `--set SECTION.KEY=VALUE` (`arguments.set`, a list)."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"settings file (default: {DEFAULT_PATH}; without that file the defaults apply)",
    )
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="override one setting; the value is written as in the file (quotes around text are optional); "
        "can be repeated",
    )
