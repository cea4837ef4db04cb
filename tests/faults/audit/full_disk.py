"""The real DataStorage on a disk of a size that a test can change: `python full_disk.py FILE serve …`.

FILE holds how many pages the SQLite database may have; the limit is SQLite's own (max_page_count), so what the service
meets is SQLITE_FULL. FILE is read at each transaction.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sqlalchemy import Connection, Engine, event

from datastorage.__main__ import main


def _limit(connection: Connection) -> None:
    pages = int(Path(_FILE).read_text())
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


if __name__ == "__main__":
    _FILE = sys.argv.pop(1)
    event.listen(Engine, "begin", _limit)
    main()
