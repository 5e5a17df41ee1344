#!/usr/bin/python3 -I
"""The command: edged is in a directory of its own, and takes nothing from a user's."""

import sys

sys.path.insert(0, "/usr/lib/edged")

from edged.cli.main import main

sys.exit(main())
