"""DataStorage by TLS: what clients believe, what is served when files change, and that no event is set aside for it.

One process serves; what a test wants of its certificate it puts into the files, and waits until it is served.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest
from cryptography import x509

from cli.world import datastorage_fault
from datastorage import schema
from datastorage.engine import open_engine
from datastorage.settings import parse_settings as datastorage_settings
from devcluster.certificates import Authority, Pair
from models.settings import parse_settings
from tasks.adapters.datastorage import AuditClient, NotStored
from tests.integration.datastorage.conftest import Process, Start, event, eventually

WRITER, READER = "w" * 20, "r" * 20
PATIENCE = timedelta(seconds=60)


class Stand:
    """A DataStorage that asks for tokens and serves TLS, and the authority that its clients know."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.authority = Authority(place / "authority", datetime.now(UTC))
        self.ca_file = str(self.authority.pair.certificate)
        self.served = Pair(place / "tls.crt", place / "tls.key")
        self.serve(self.good("first"))
        (place / "tokens").write_text(f"executor write {WRITER}\nauditor read {READER}\n")
        for name, token in (("writer", WRITER), ("reader", READER)):
            (place / name).write_text(token)
        settings = {
            "DATABASE_URL": f"sqlite:///{place}/audit.db",
            "SERVER_TOKEN_FILE": str(place / "tokens"),
            "SERVER_TLS_CERTIFICATE_FILE": str(self.served.certificate),
            "SERVER_TLS_KEY_FILE": str(self.served.key),
        }
        environ = {f"DATASTORAGE_{name}": value for name, value in settings.items()}
        engine = open_engine(datastorage_settings({}, environ, {}))
        schema.upgrade(engine)
        engine.dispose()
        self.process = Process(("serve", "--port", "0"), environ, place)
        self.url = self.process.url
        self.port = int(self.url.rpartition(":")[2])

    def good(self, name: str) -> Pair:
        """Issue a certificate for the address alone, so that the name of this machine is a wrong one."""
        return self.authority.serving(name, ["127.0.0.1"])

    def serve(self, pair: Pair) -> None:
        """Put a pair where the service looks for it."""
        for source, target in ((pair.key, self.served.key), (pair.certificate, self.served.certificate)):
            shutil.copyfile(source, target.with_suffix(".new"))
            target.with_suffix(".new").replace(target)

    def serial(self) -> int:
        """Return the serial number of the certificate that a new connection is shown, whoever issued it."""
        return x509.load_pem_x509_certificate(
            ssl.get_server_certificate(("127.0.0.1", self.port), timeout=60).encode()
        ).serial_number

    def serve_now(self, pair: Pair) -> None:
        """Have a pair served from now on."""
        self.serve(pair)
        wanted = serial_of(pair)
        eventually(lambda: self.serial() == wanted)

    def client(self, *, url: str = "", ca_file: str | None = None) -> AuditClient:
        """Return what the executor sends with."""
        believed = self.ca_file if ca_file is None else ca_file
        return AuditClient(url or self.url, PATIENCE, str(self.place / "writer"), believed)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("tls"))
    yield made
    made.process.close()


def serial_of(pair: Pair) -> int:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes()).serial_number


def body(number: int) -> bytes:
    return orjson.dumps(event(number))


def put_off(client: AuditClient, events: int = 1) -> NotStored:
    with closing(client), pytest.raises(NotStored) as caught:
        client.store([body(900 + number) for number in range(events)])
    return caught.value


def test_events_are_stored_and_read_over_tls(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stand.url.startswith("https://127.0.0.1:")
    assert stand.process.logged("serving with TLS")["expires"]
    with closing(stand.client()) as client:
        client.store([body(1), body(2)])
    monkeypatch.setenv("SSL_CERT_FILE", stand.ca_file)
    with closing(stand.client(ca_file="")) as client:
        client.store([body(3)])
    reader = AuditClient(stand.url, PATIENCE, str(stand.place / "reader"), stand.ca_file)
    with closing(reader):
        assert reader.query({"limit": 1})["pagination"]["total"] >= 3


def test_a_new_pair_is_served_without_a_restart_and_a_wrong_one_never(stand: Stand) -> None:
    with closing(stand.client()) as standing:
        standing.store([body(11)])
        before = stand.serial()
        stand.serve_now(stand.good("second"))
        assert stand.serial() != before
        standing.store([body(12)])
    stand.process.logged("the certificate was read again")
    second = stand.serial()
    stand.served.key.write_bytes(stand.good("third").key.read_bytes())

    def told() -> bool:
        trusted = ssl.create_default_context(cafile=stand.ca_file)
        metrics = httpx.get(f"{stand.url}/metrics", verify=trusted, timeout=60).text
        return "datastorage_certificate_broken 1.0" in metrics

    eventually(told)
    assert stand.serial() == second
    assert "server.tls_key_file=" in stand.process.logged("the certificate is broken")["fault"]
    with closing(stand.client()) as client:
        client.store([body(13)])
    stand.serve_now(stand.good("fourth"))
    assert not told()


def test_what_is_not_trusted_puts_off_and_is_named(stand: Stand, tmp_path: Path) -> None:
    """Of one event, too, which alone could be set aside."""
    stand.serve_now(stand.good("for others"))
    other = Authority(tmp_path / "other", datetime.now(UTC)).pair.certificate
    (tmp_path / "empty").touch()
    cases = {
        f"(trusted authorities: those of audit.ca_file={other})": {"ca_file": str(other)},
        "(trusted authorities: the system's; audit.ca_file names others)": {"ca_file": ""},
        "Hostname mismatch, certificate is not valid for 'localhost'": {"url": f"https://localhost:{stand.port}"},
        f"audit.ca_file={tmp_path}/none cannot be read: No such file": {"ca_file": f"{tmp_path}/none"},
        f"audit.ca_file={tmp_path}/empty cannot be read: no certificate": {"ca_file": f"{tmp_path}/empty"},
    }
    for words, wrong in cases.items():
        for events in (1, 2):
            told = put_off(stand.client(**wrong), events)
            assert (told.cause, words in str(told)) == ("untrusted", True), str(told)


def test_an_expired_certificate_puts_off_until_there_is_a_new_one(stand: Stand, tmp_path: Path) -> None:
    old = Authority(tmp_path / "authority", datetime.now(UTC) - timedelta(days=400))
    both = tmp_path / "both"
    both.write_bytes(old.pair.certificate.read_bytes() + Path(stand.ca_file).read_bytes())
    stand.serve_now(old.serving("old", ["127.0.0.1"]))
    with closing(stand.client(ca_file=str(both))) as client:
        with pytest.raises(NotStored, match="certificate has expired") as caught:
            client.store([body(31)])
        assert caught.value.cause == "untrusted"
        stand.serve_now(stand.good("renewed"))
        client.store([body(31)])


def test_a_new_file_of_authorities_needs_no_restart(stand: Stand, tmp_path: Path) -> None:
    stand.serve_now(stand.good("known later"))
    known = tmp_path / "known"
    shutil.copyfile(Authority(tmp_path / "other", datetime.now(UTC)).pair.certificate, known)
    with closing(stand.client(ca_file=str(known))) as client:
        with pytest.raises(NotStored):
            client.store([body(41)])
        shutil.copyfile(stand.ca_file, known)
        client.store([body(41)])


def test_who_speaks_the_other_way_is_put_off(stand: Stand) -> None:
    """http to TLS, and https to who speaks none: no answer, as from any stranger."""
    told = put_off(stand.client(url=stand.url.replace("https", "http")))
    assert told.cause == "unanswered"

    def answer_in_the_clear() -> None:
        connection, _ = plain.accept()
        with connection, suppress(OSError):  # the client is free to go at any moment
            connection.recv(1)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as plain:
        plain.settimeout(60)
        server = threading.Thread(target=answer_in_the_clear)
        server.start()
        told = put_off(stand.client(url=f"https://127.0.0.1:{plain.getsockname()[1]}"))
        server.join()
    assert (told.cause, "SSL" in str(told)) == ("unanswered", True)


def test_wfe_believes_the_same_authorities(stand: Stand, tmp_path: Path) -> None:
    stand.serve_now(stand.good("for people"))
    (tmp_path / "kubeconfig").write_text("{}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WFE_")}
    told = {"DATASTORAGE_URL": stand.url, "READ_TOKEN_FILE": str(stand.place / "reader"), "CA_FILE": stand.ca_file}
    environ = {**kept, "KUBECONFIG": str(tmp_path / "kubeconfig")}
    environ |= {f"WFE_AUDIT_{name}": value for name, value in told.items()}
    command = [str(Path(sys.executable).parent / "wfe"), "audit", "verify"]

    def wfe(**changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environ | changes, capture_output=True, text=True, timeout=90, check=False)

    good = wfe()
    assert (good.returncode, good.stdout[:3]) == (0, "OK:"), good.stderr
    bad = wfe(WFE_AUDIT_CA_FILE="")
    assert bad.returncode == 1
    assert bad.stderr.startswith("error: DataStorage's certificate is refused: ")
    assert len(bad.stderr.splitlines()) == 1


def test_wfe_status_says_what_is_wrong_with_a_certificate(stand: Stand) -> None:
    def fault(ca_file: str) -> str:
        settings = parse_settings({"audit": {"datastorage_url": stand.url, "ca_file": ca_file}}, {}, {})
        access: Any = SimpleNamespace(settings=settings)
        return datastorage_fault(access)

    assert fault(stand.ca_file) == ""
    assert "DataStorage's certificate is refused" in fault("")


def test_a_wrong_pair_is_one_line_and_exit_2(stand: Stand, start: Start) -> None:
    key = stand.good("stranger").key
    process = start("serve", "--port", "0", server_tls_certificate_file=stand.ca_file, server_tls_key_file=str(key))
    assert process.wait() == 2
    assert len(process.lines) == 1
    assert process.lines[0].startswith(f"misconfigured: server.tls_key_file={key}: allowed is the key of server.tls_")


def test_it_stops_while_clients_keep_idle_connections(stand: Stand, start: Start) -> None:
    """An idle client does not answer the end of TLS."""
    pair = stand.good("stopping")
    files = {"server_tls_certificate_file": str(pair.certificate), "server_tls_key_file": str(pair.key)}
    process = start("serve", "--port", "0", server_shutdown_timeout="10s", **files)
    with httpx.Client(verify=ssl.create_default_context(cafile=stand.ca_file), timeout=60) as idle:
        assert idle.get(f"{process.url}/health/live").status_code == 200
        assert process.terminate() == 0
    assert not [line for line in process.lines if "graceful shutdown exceeded" in line]
