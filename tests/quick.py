"""Limits of `script/test --quick` on generated histories, so that it takes less than a minute."""

import os
from typing import Final

QUICK: Final = bool(os.environ.get("EDGED_QUICK"))

EXAMPLES: Final = 15
"""Examples that Hypothesis tries of each property; 100 in a complete run."""

LIMIT_S: Final = 5.0
"""Longest a test without the `slow` marker may take: ten times what the marker's text says, as machines are busy."""


def seeds(count: int) -> range:
    """Return the seeds of a generated history: all `count`, or the first of them in a quick run."""
    return range(1 if QUICK else count)
