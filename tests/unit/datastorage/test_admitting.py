"""Which way to know callers is chosen, and where nobody may be asked at all."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from datastorage.admitting import callers_of, check_exposure
from datastorage.settings import ServerSettings, Settings, parse_settings
from datastorage.token_file import TokenFile
from datastorage.token_review import TokenReviews
from models.errors import Misconfigured

ONE_LINE = (
    "server.token_file is not set: allowed is a file of tokens, or in a cluster kubernetes.token_review=true, or, on a "
    "loopback address only, server.allow_unauthenticated=true"
)


class Bound(socket.socket):
    """A socket that says it is bound to an address; unit tests bind none."""

    def __init__(self, address: str, family: socket.AddressFamily = socket.AF_UNIX) -> None:
        super().__init__(socket.AF_UNIX)
        self._claimed = (address, 8080)
        self._family = family

    @property
    def family(self) -> socket.AddressFamily:
        return self._family

    def getsockname(self) -> Any:
        return self._claimed


@contextmanager
def bound(address: str) -> Iterator[socket.socket]:
    family = socket.AF_UNIX if "/" in address else socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(Bound(address, family)) as listener:
        yield listener


def settings(**document: Any) -> Settings:
    return parse_settings(document, {}, {})


def test_without_any_way_the_service_does_not_start() -> None:
    with pytest.raises(Misconfigured) as caught:
        callers_of(settings(), CollectorRegistry())
    assert str(caught.value) == ONE_LINE


def test_each_way(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"executor write {'t' * 20}\n")
    registry = CollectorRegistry()
    assert isinstance(callers_of(settings(server={"token_file": str(tmp_path / "tokens")}), registry), TokenFile)
    account = {name: str(tmp_path / name) for name in ("ca_file", "token_file")}
    for key, path in account.items():
        with pytest.raises(Misconfigured, match=f"kubernetes.{key}=.*: allowed is a readable file"):
            callers_of(settings(kubernetes={"token_review": True, **account}), CollectorRegistry())
        Path(path).touch()
    assert isinstance(callers_of(settings(kubernetes={"token_review": True, **account}), registry), TokenReviews)
    assert callers_of(settings(server={"allow_unauthenticated": True}), registry) is None


def test_a_broken_token_file_is_a_metric_at_each_scrape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datastorage.token_file._LOOK_EVERY", 0.0)
    path = tmp_path / "tokens"
    path.write_text(f"executor write {'t' * 20}\n")
    registry = CollectorRegistry()
    callers_of(settings(server={"token_file": str(path)}), registry)
    assert registry.get_sample_value("datastorage_token_file_broken") == 0
    path.write_text("nonsense\n")
    assert registry.get_sample_value("datastorage_token_file_broken") == 1


@pytest.mark.parametrize(
    "document",
    [
        {"server": {"token_file": "tokens", "allow_unauthenticated": True}},
        {"server": {"token_file": "tokens"}, "kubernetes": {"token_review": True}},
        {"server": {"allow_unauthenticated": True}, "kubernetes": {"token_review": True}},
    ],
)
def test_two_ways_contradict_each_other(document: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured, match="allowed only without"):
        callers_of(settings(**document), CollectorRegistry())


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "/run/datastorage.sock"])
def test_without_authentication_loopback_is_served_and_announced(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with bound(address) as listener:
        check_exposure(ServerSettings(allow_unauthenticated=True), listener)
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert said[0].getMessage().startswith("serving WITHOUT authentication (server.allow_unauthenticated=true)")


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.7", "::", "fe80::1%eth0", "::ffff:10.0.0.7", "2001:db8::1"])
def test_without_authentication_nothing_else_is_served(address: str) -> None:
    with bound(address) as listener, pytest.raises(Misconfigured, match="is a loopback address"):
        check_exposure(ServerSettings(host="name", allow_unauthenticated=True), listener)


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.7", "::", "2001:db8::1"])
def test_tokens_that_travel_in_the_clear_are_announced_once(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with bound(address) as listener:
        check_exposure(ServerSettings(token_file="tokens"), listener)
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert said.getMessage() == (
        "serving WITHOUT TLS (server.tls_certificate_file, server.tls_key_file): "
        "tokens travel in the clear to whoever can listen on the way"
    )


@pytest.mark.parametrize(
    ("address", "certificate"), [("0.0.0.0", "tls.crt"), ("127.0.0.1", ""), ("::1", ""), ("/run/datastorage.sock", "")]
)
def test_with_tls_or_on_loopback_there_is_nothing_to_announce(
    address: str, certificate: str, caplog: pytest.LogCaptureFixture
) -> None:
    with bound(address) as listener:
        check_exposure(ServerSettings(token_file="tokens", tls_certificate_file=certificate), listener)
    assert not caplog.records
