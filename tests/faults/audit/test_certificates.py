"""DataStorage shows a certificate that the executor does not trust: events wait, which is told, and none is lost."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from devcluster.certificates import Authority
from tests.faults.audit.stand import Service, Stand, stand

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def secured(tmp_path: Path, client: redis.Redis) -> Iterator[Stand]:
    """Run a DataStorage that serves TLS."""
    authority = Authority(tmp_path / "authority", datetime.now(UTC))
    pair = authority.serving("datastorage", ["127.0.0.1"])
    settings = {
        "DATASTORAGE_SERVER_TLS_CERTIFICATE_FILE": str(pair.certificate),
        "DATASTORAGE_SERVER_TLS_KEY_FILE": str(pair.key),
    }
    service = Service(tmp_path, f"sqlite:///{tmp_path}/audit.db", settings=settings)
    service.prepare()
    with stand(service, client, ca_file=str(authority.pair.certificate)) as made:
        yield made


def test_a_stranger_is_told_of_and_gets_nothing(
    secured: Stand, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = tmp_path / "known"
    shutil.copyfile(Authority(tmp_path / "other", datetime.now(UTC)).pair.certificate, known)
    worker = secured.worker(ca_file=str(known))
    ids = secured.emit("strangers", 3)
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            secured.turn(worker)
    assert secured.counted("audit_put_off_total", worker, cause="untrusted") == 5
    assert secured.counted("audit_events_dropped_total", worker) == 0
    assert {each.levelno for each in caplog.records if "audit events wait" in each.message} == {logging.ERROR}
    outbox = secured.outbox
    assert (outbox.size(), outbox.quarantined(), outbox.acked("strangers")) == (3, 0, frozenset())
    trouble = outbox.trouble()
    assert trouble.failures == 5
    assert trouble.words.startswith("DataStorage's certificate is refused: ")
    assert f"audit.ca_file={known}" in trouble.words
    shutil.copyfile(secured.ca_file, known)
    secured.turn(worker)
    assert outbox.acked("strangers") == set(ids)
    secured.check()
