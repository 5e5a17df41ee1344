"""The command `edged gate`, called as `main` would."""

import argparse
from pathlib import Path

from edged.cli import gate as command


def edged_gate(*arguments: str | Path) -> int:
    """Its exit status."""
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    args = parser.parse_args(["gate", *map(str, arguments)])
    status: int = args.run(args)
    return status
