"""`python -m tasks.alive FILE`: the liveness probe of a worker. Exit 0: it asks for messages; 1: it does not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tasks import clock
from tasks.liveness import LONGEST_SILENCE


def main(arguments: Sequence[str]) -> int:
    """Read the file and return the exit code."""
    [path] = arguments
    try:
        polled_at = float(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"no sign of life in {path}: {error}\n")
        return 1
    silence = clock.monotonic() - polled_at
    if silence > LONGEST_SILENCE:
        sys.stderr.write(f"the worker has not asked for messages for {silence:.0f} s\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
