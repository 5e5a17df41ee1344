"""What several commands take on the command line."""

import argparse
from pathlib import Path

from edged.config.loader import DEFAULT_PATH


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """`--config FILE` (as `arguments.config`, or `None`) and `--set section.key=value` (as `arguments.set`, a list)."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"the settings (default: {DEFAULT_PATH}; without that file the defaults hold)",
    )
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="one setting, over what the file says, with its value as in the file (quotes around text may be left "
        "out); can be repeated",
    )
