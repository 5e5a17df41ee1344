"""Timeouts of tests for events that must come."""

from typing import Final

PATIENCE_S: Final = 60.0
"""Many times what it takes on a quiet machine. A loaded one must not reject good work: only what never comes takes so
long."""
