"""Log lines: JSON, with the record's fields, without what an exception says."""

from __future__ import annotations

import json
import logging
from typing import Any

from datastorage.logs import JsonFormatter


def line(caplog_record: logging.LogRecord) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(JsonFormatter().format(caplog_record))
    return written


def record(**extra: Any) -> logging.LogRecord:
    return logging.getLogger("room").makeRecord(
        "room", logging.INFO, __file__, 1, "said %s", ("this",), None, extra=extra
    )


def test_fields_stand_beside_the_message() -> None:
    written = line(record(fields={"request_id": "r", "quoted": 'a"\nb'}))
    assert (written["level"], written["logger"], written["message"]) == ("info", "room", "said this")
    assert (written["request_id"], written["quoted"]) == ("r", 'a"\nb')
    assert written["time"].endswith("+00:00")


def test_an_exception_is_told_by_its_type_and_place_only() -> None:
    failed = record()
    try:
        int("s3cr3t")
    except ValueError as error:
        failed.exc_info = (type(error), error, error.__traceback__)
    written = line(failed)
    assert written["error"] == "ValueError"
    assert "test_logs.py" in written["stack"]
    assert "invalid literal" not in json.dumps(written)
