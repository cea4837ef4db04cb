"""Say by the exit code whether this container's process does its work: `healthy.py URL|PORT …`.

A URL must answer 200. A port must be the other end of an open connection: a process that lost its broker has none.
Standard library only, because a probe runs every few seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

_SECONDS = 4
_ESTABLISHED = "01"  # Linux, include/net/tcp_states.h


def main(wanted: Sequence[str]) -> int:
    """Return 0 when everything wanted holds; name the first thing that does not."""
    for each in wanted:
        if not (connected(int(each)) if each.isdigit() else answers(each)):
            sys.stderr.write(f"no {'connection to port ' if each.isdigit() else 'answer from '}{each}\n")
            return 1
    return 0 if wanted else 2


def answers(url: str) -> bool:
    """Say whether a URL answers 200."""
    try:
        with urlopen(url, timeout=_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        return False


def connected(port: int) -> bool:
    """Say whether this network namespace has an open connection to that remote port."""
    tables = (Path("/proc/net", name) for name in ("tcp", "tcp6"))
    rows = (row.split() for table in tables if table.exists() for row in table.read_text().splitlines()[1:])
    return any(row[3] == _ESTABLISHED and int(row[2].rpartition(":")[2], 16) == port for row in rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
