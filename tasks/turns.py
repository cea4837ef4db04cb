"""How long one thread of a process may keep the interpreter from the others."""

from __future__ import annotations

import sys

_SECONDS = 0.0005
"""The interpreter's own 5 ms are the wait of a pass whose answer came while another thread computes."""


def take_short_turns() -> None:
    """Let threads that wait for the interpreter have it after half a millisecond; for the whole process."""
    sys.setswitchinterval(_SECONDS)
