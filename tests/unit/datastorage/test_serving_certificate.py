"""Which files are a certificate with its key, and what is served while they are not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from prometheus_client import CollectorRegistry

from datastorage.admitting import certificate_of
from datastorage.serving_certificate import ServingCertificate
from datastorage.settings import ServerSettings
from devcluster.certificates import Authority, Pair
from models.errors import Misconfigured

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority", NOW)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.serving("first", ["localhost"])


def served(pair: Pair, monotonic: Callable[[], float] = lambda: 0.0) -> ServingCertificate:
    return ServingCertificate(str(pair.certificate), str(pair.key), monotonic)


def refused(pair: Pair) -> str:
    with pytest.raises(Misconfigured) as caught:
        served(pair)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def with_password(key: Path) -> Path:
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    encoded = loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    path = key.with_name("locked.key")
    path.write_bytes(encoded)
    return path


def test_a_wrong_pair_is_one_line_that_names_the_files(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    certificate, key = pair.certificate, pair.key
    absent, nonsense = tmp_path / "absent", tmp_path / "nonsense"
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
    unreadable = ": allowed is a readable file"
    assert refused(Pair(absent, key)) == f"server.tls_certificate_file={absent}{unreadable}"
    assert refused(Pair(certificate, absent)) == f"server.tls_key_file={absent}{unreadable}"
    assert refused(Pair(tmp_path, key)) == f"server.tls_certificate_file={tmp_path}{unreadable}"
    for wrong in (nonsense, key):
        told = refused(Pair(wrong, key))
        assert told == (
            f"server.tls_certificate_file={wrong}: allowed are certificates in PEM, the service's own first"
        )
    strange = authority.serving("second", ["localhost"]).key
    for wrong in (strange, nonsense, certificate, with_password(key)):
        told = refused(Pair(certificate, wrong))
        assert told == (
            f"server.tls_key_file={wrong}: allowed is the key of server.tls_certificate_file={certificate}, "
            "in PEM and without a password"
        )


def test_what_is_wrong_later_changes_nothing_and_is_told(
    authority: Authority, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    certificate = served(pair, lambda: now[0])
    expires = certificate.expires()
    later = Authority(authority.pair.certificate.parent, NOW + timedelta(days=30)).serving("later", ["localhost"])

    def look_after(seconds: float) -> bool:
        now[0] += seconds
        return certificate.look()

    pair.certificate.write_bytes(later.certificate.read_bytes())
    assert look_after(0.5), "looked at once a second"
    assert not look_after(0.6)
    assert not look_after(2)
    assert certificate.expires() == expires
    pair.key.write_bytes(later.key.read_bytes())
    assert look_after(2)
    assert certificate.expires() == expires + timedelta(days=30).total_seconds()
    pair.key.unlink()
    assert not look_after(2)
    pair.key.write_bytes(later.key.read_bytes())
    assert look_after(2)
    assert [record.getMessage() for record in caplog.records] == [
        "the certificate is broken; the old one is served",
        "the certificate was read again",
        "the certificate is broken; the old one is served",
        "the certificate is as before",
    ]


def test_its_state_is_a_metric_at_each_scrape(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datastorage.serving_certificate._LOOK_EVERY", 0.0)
    registry = CollectorRegistry()
    assert certificate_of(ServerSettings(), registry) is None
    server = ServerSettings(tls_certificate_file=str(pair.certificate), tls_key_file=str(pair.key))
    assert certificate_of(server, registry) is not None
    assert registry.get_sample_value("datastorage_certificate_broken") == 0
    expires = registry.get_sample_value("datastorage_certificate_expires_timestamp_seconds")
    assert expires == (NOW + timedelta(days=365)).timestamp()
    pair.certificate.unlink()
    assert registry.get_sample_value("datastorage_certificate_broken") == 1
