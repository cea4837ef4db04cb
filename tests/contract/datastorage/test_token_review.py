"""Tokens of a real API server: who is let in, who is not, and what happens while nobody can say."""

from __future__ import annotations

import base64
import json
import logging
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import Engine

from datastorage import logs, schema
from datastorage.api_server import ApiServer
from datastorage.callers import Reason, Refused, Right
from datastorage.settings import KubernetesSettings
from datastorage.token_review import MOST, TokenReviews
from devcluster.certificates import Authority
from devcluster.cluster import Cluster
from tests.contract.datastorage.conftest import Event, Service, engine_for
from tests.waiting import until

DEPLOY = Path(__file__).parents[3] / "deploy"
SYSTEM = "kubernaut-system"
EVENTS = "/api/v1/audit/events"
WRITER, READER, STRANGER = "kubernaut-executor", "auditor", "stranger"


@dataclass(frozen=True, slots=True)
class World:
    """A cluster with DataStorage's own account and three more, and their tokens."""

    cluster: Cluster
    settings: KubernetesSettings
    writer: str
    reader: str
    stranger: str

    def kubectl(self, *words: str) -> str:
        """Run kubectl as the administrator."""
        command = [str(self.cluster.kubectl), *words]
        done = subprocess.run(command, env=self.cluster.environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def token(self, account: str, audience: str = "datastorage") -> str:
        """Have a token made, as a projected one is."""
        return self.kubectl("create", "token", account, "-n", SYSTEM, f"--audience={audience}")


@pytest.fixture(scope="module")
def world(api_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Put our accounts and rights on the cluster, and log DataStorage in as its own account."""
    if api_cluster.record is None:
        pytest.skip("a borrowed cluster shows neither its CA nor its keys")
    api_cluster.apply(DEPLOY / "rbac.yaml")
    directory = tmp_path_factory.mktemp("account")
    settings = KubernetesSettings(
        token_review=True,
        api_server=api_cluster.server,
        ca_file=str(api_cluster.directory / "pki" / "ca.crt"),
        token_file=str(directory / "token"),
        cache_time=timedelta(0),
        timeout=timedelta(seconds=30),
    )
    world = World(api_cluster, settings, "", "", "")
    for account in (READER, STRANGER):
        world.kubectl("create", "serviceaccount", account, "-n", SYSTEM)
    role = ("--role=kubernaut-audit-reader", f"--serviceaccount={SYSTEM}:{READER}")
    world.kubectl("create", "rolebinding", "auditor", "-n", SYSTEM, *role)
    # Projected as into a pod: for the API server itself.
    own = world.kubectl("create", "token", "kubernaut-datastorage", "-n", SYSTEM)
    (directory / "token").write_text(own)
    world = replace(world, writer=world.token(WRITER), reader=world.token(READER), stranger=world.token(STRANGER))
    asking = TokenReviews(ApiServer(settings, CollectorRegistry()), settings)
    until(lambda: _admitted(asking, world.writer, Right.WRITE), 60, "the executor may write")
    until(lambda: _admitted(asking, world.reader, Right.READ), 60, "the auditor may read")
    return world


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def reviews(world: World, registry: CollectorRegistry) -> TokenReviews:
    """Ask the real API server, each time anew."""
    return TokenReviews(ApiServer(world.settings, registry), world.settings)


def refusal(reviews: TokenReviews, token: str, right: Right = Right.WRITE) -> Reason:
    with pytest.raises(Refused) as refused:
        reviews.admit(token, right)
    assert token not in str(refused.value)
    return refused.value.reason


def test_writing_and_reading_are_rights_of_the_cluster(reviews: TokenReviews, world: World) -> None:
    assert reviews.admit(world.writer, Right.WRITE) == f"system:serviceaccount:{SYSTEM}:{WRITER}"
    assert refusal(reviews, world.writer, Right.READ) is Reason.FORBIDDEN
    assert reviews.admit(world.reader, Right.READ) == f"system:serviceaccount:{SYSTEM}:{READER}"
    assert refusal(reviews, world.reader, Right.WRITE) is Reason.FORBIDDEN
    for token in (world.writer, world.reader):
        assert refusal(reviews, token, Right.HOLD) is Reason.FORBIDDEN
    for right in Right:
        assert refusal(reviews, world.stranger, right) is Reason.FORBIDDEN


def test_holding_is_a_right_that_is_given_by_a_role_of_its_own(reviews: TokenReviews, world: World) -> None:
    world.kubectl("create", "serviceaccount", "counsel", "-n", SYSTEM)
    role = ("--role=kubernaut-audit-holder", f"--serviceaccount={SYSTEM}:counsel")
    world.kubectl("create", "rolebinding", "counsel", "-n", SYSTEM, *role)
    token = world.token("counsel")
    until(lambda: _admitted(reviews, token, Right.HOLD), 60, "the binding is in force")
    assert reviews.admit(token, Right.HOLD) == f"system:serviceaccount:{SYSTEM}:counsel"
    assert reviews.admit(token, Right.READ) == f"system:serviceaccount:{SYSTEM}:counsel", "who holds sees what is held"
    assert refusal(reviews, token, Right.WRITE) is Reason.FORBIDDEN


def test_a_token_for_somebody_else_is_not_for_us(reviews: TokenReviews, world: World) -> None:
    """The API server's own audience, too: such a token is in every pod."""
    for token in (world.token(WRITER, "vault"), world.kubectl("create", "token", WRITER, "-n", SYSTEM)):
        assert refusal(reviews, token) is Reason.UNKNOWN


def test_an_expired_or_forged_token_is_unknown(reviews: TokenReviews, world: World) -> None:
    key = load_pem_private_key((world.cluster.directory / "pki" / "service-accounts.key").read_bytes(), None)
    head, body, _ = (_decoded(part) for part in world.writer.split("."))
    claims = json.loads(body)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    again = _signed(key, json.loads(head), claims)
    assert reviews.admit(again, Right.WRITE).endswith(WRITER), "what is signed here is a good token"
    expired = _signed(key, json.loads(head), claims | {"exp": claims["iat"] - 60, "iat": claims["iat"] - 660})
    assert refusal(reviews, expired) is Reason.UNKNOWN
    forged = _signed(ec.generate_private_key(ec.SECP256R1()), json.loads(head), claims)
    assert refusal(reviews, forged) is Reason.UNKNOWN
    for nonsense in ("x", "x.y.z", world.writer[:-4] + "AAAA", world.writer + "." + world.writer, "a" * 16_000):
        assert refusal(reviews, nonsense) is Reason.UNKNOWN


def test_the_token_of_a_deleted_account_is_unknown(reviews: TokenReviews, world: World) -> None:
    world.kubectl("create", "serviceaccount", "leaver", "-n", SYSTEM)
    role = ("--role=kubernaut-audit-reader", f"--serviceaccount={SYSTEM}:leaver")
    world.kubectl("create", "rolebinding", "leaver", "-n", SYSTEM, *role)
    token = world.token("leaver")
    until(lambda: _admitted(reviews, token, Right.READ), 60, "the binding is in force")
    world.kubectl("delete", "serviceaccount", "leaver", "-n", SYSTEM)
    # The API server itself remembers good tokens for ten seconds.
    until(lambda: not _admitted(reviews, token, Right.READ), 60, "the token is refused")
    assert refusal(reviews, token, Right.READ) is Reason.UNKNOWN


def test_a_right_that_is_taken_is_gone(reviews: TokenReviews, world: World) -> None:
    role = ("--role=kubernaut-audit-writer", f"--serviceaccount={SYSTEM}:{STRANGER}")
    world.kubectl("create", "rolebinding", "for-a-while", "-n", SYSTEM, *role)
    until(lambda: _admitted(reviews, world.stranger, Right.WRITE), 60, "the binding is in force")
    world.kubectl("delete", "rolebinding", "for-a-while", "-n", SYSTEM)
    until(lambda: not _admitted(reviews, world.stranger, Right.WRITE), 60, "the binding is gone")


def test_what_was_allowed_is_remembered_for_a_while_and_a_refusal_never(
    world: World, registry: CollectorRegistry
) -> None:
    now = 100.0
    settings = replace(world.settings, cache_time=timedelta(seconds=10))
    reviews = TokenReviews(ApiServer(settings, registry), settings, lambda: now)

    def asked() -> float:
        return _value(registry, "datastorage_token_review_duration_seconds_count", question="token_review")

    for _ in range(3):
        reviews.admit(world.writer, Right.WRITE)
    assert asked() == 1
    assert reviews.remembered(world.writer, Right.WRITE)
    assert reviews.remembered(world.writer, Right.READ) is None
    assert reviews.remembered(world.writer + "x", Right.WRITE) is None
    for _ in range(2):
        assert refusal(reviews, world.writer, Right.READ) is Reason.FORBIDDEN
        assert refusal(reviews, "nobody") is Reason.UNKNOWN
    assert asked() == 5
    assert len(reviews) == 1
    assert world.writer not in repr(vars(reviews))
    now += 10
    assert reviews.remembered(world.writer, Right.WRITE) is None
    reviews.admit(world.reader, Right.READ)
    assert len(reviews) == 1, "what is over is forgotten"


def test_what_is_remembered_is_bounded(world: World, registry: CollectorRegistry) -> None:
    settings = replace(world.settings, cache_time=timedelta(seconds=10))
    reviews = TokenReviews(ApiServer(settings, registry), settings, lambda: 100.0)
    for number in range(MOST + 5):
        reviews._remember((str(number).encode(), Right.READ), 110.0, "name")
    assert len(reviews) == MOST


def test_a_rotated_token_and_ca_are_used_at_once(world: World, registry: CollectorRegistry, tmp_path: Path) -> None:
    """Our own token that is refused is our fault and nobody else's: 503, not 401."""
    own, ca = tmp_path / "token", tmp_path / "ca"
    settings = replace(world.settings, token_file=str(own), ca_file=str(ca))
    reviews = TokenReviews(ApiServer(settings, registry), settings)
    good_token, good_ca = (Path(path).read_text() for path in (world.settings.token_file, world.settings.ca_file))

    def reasons() -> dict[str, float]:
        family = next(each for each in registry.collect() if each.name == "datastorage_token_review_failed")
        return {each.labels["reason"]: each.value for each in family.samples if each.value and each.name.endswith("l")}

    assert refusal(reviews, world.writer) is Reason.UNAVAILABLE
    own.write_text(good_token)
    ca.write_text("nonsense")
    assert refusal(reviews, world.writer) is Reason.UNAVAILABLE
    assert reasons() == {"files": 2}
    ca.write_text(good_ca)
    assert reviews.admit(world.writer, Right.WRITE)
    own.write_text("expired")
    assert refusal(reviews, world.writer) is Reason.UNAVAILABLE
    own.write_text(world.stranger)  # one without the right to ask, for another audience at that
    assert refusal(reviews, world.writer) is Reason.UNAVAILABLE
    assert reasons() == {"files": 2, "refused": 2}
    own.write_text(good_token)
    assert reviews.admit(world.writer, Right.WRITE)


def test_an_account_without_the_right_to_ask_lets_nobody_in(
    world: World, registry: CollectorRegistry, tmp_path: Path
) -> None:
    own = tmp_path / "token"
    own.write_text(world.kubectl("create", "token", STRANGER, "-n", SYSTEM))
    settings = replace(world.settings, token_file=str(own))
    assert refusal(TokenReviews(ApiServer(settings, registry), settings), world.writer) is Reason.UNAVAILABLE


class ApiDouble(ThreadingHTTPServer):
    """A server with a certificate of its own authority that answers each question with what it is told."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        authority = Authority(directory, datetime.now(UTC))
        pair = authority.serving("double", ["127.0.0.1"])
        self.ca = str(authority.pair.certificate)
        self.answers: list[Answer] = []
        self.questions: list[dict[str, Any]] = []
        self.silence = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        # The handshake belongs to the thread of its connection, as a slow one must not stop the others.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that hangs up."""


SILENT = 0
"""In place of a status: no answer until `silence` is set."""

Answer = tuple[int, dict[str, str], bytes]


class _Answer(BaseHTTPRequestHandler):
    server: ApiDouble

    def do_POST(self) -> None:
        self.server.questions.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, headers, body = self.server.answers.pop(0)
        if status == SILENT:
            self.server.silence.wait(60)
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def double(tmp_path: Path) -> Iterator[ApiDouble]:
    server = ApiDouble(tmp_path)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def doubled(double: ApiDouble, registry: CollectorRegistry, tmp_path: Path) -> TokenReviews:
    """Ask the double."""
    (tmp_path / "token").write_text("own")
    settings = KubernetesSettings(
        api_server=f"https://127.0.0.1:{double.server_address[1]}",
        ca_file=double.ca,
        token_file=str(tmp_path / "token"),
        timeout=timedelta(seconds=20),
    )
    return TokenReviews(ApiServer(settings, registry), settings)


def status(**fields: Any) -> Answer:
    return 201, {}, json.dumps({"status": fields}).encode()


def known(**changes: Any) -> Answer:
    return status(**{"authenticated": True, "user": {"username": "u"}, "audiences": ["datastorage"], **changes})


@pytest.mark.parametrize(
    ("answer", "reason", "seconds"),
    [
        ((500, {}, b""), "answer", 5),
        ((503, {"Retry-After": "2"}, b"{}"), "answer", 2),
        ((429, {"Retry-After": "9"}, b"{}"), "throttled", 9),
        ((429, {"Retry-After": "99999"}, b"{}"), "throttled", 60),
        ((401, {}, b"{}"), "refused", 5),
        ((403, {}, b"{}"), "refused", 5),
        ((404, {}, b"{}"), "answer", 5),
        ((302, {"Location": "https://elsewhere.example/"}, b""), "answer", 5),
        ((201, {}, b"<html>"), "answer", 5),
        ((201, {}, b"[]"), "answer", 5),
        ((201, {}, b'{"status": null}'), "answer", 5),
    ],
)
def test_what_is_no_clear_answer_is_neither_yes_nor_no(
    doubled: TokenReviews, double: ApiDouble, registry: CollectorRegistry, answer: Answer, reason: str, seconds: int
) -> None:
    for first in ([], [known()]):
        double.answers = [*first, answer]
        with pytest.raises(Refused) as refused:
            doubled.admit("secret-token", Right.READ)
        assert (refused.value.reason, refused.value.retry_after) == (Reason.UNAVAILABLE, timedelta(seconds=seconds))
        question = "access_review" if first else "token_review"
        failed = "datastorage_token_review_failed_total"
        assert _value(registry, failed, question=question, reason=reason) == 1
    assert doubled.remembered("secret-token", Right.READ) is None


@pytest.mark.parametrize(
    "answer",
    [
        known(authenticated=False),
        known(authenticated="true"),
        known(audiences=[]),
        known(audiences=None),
        known(audiences=["https://kubernetes.default.svc"]),
        known(user={"username": ""}),
        known(user=None),
    ],
)
def test_only_a_clear_yes_for_our_audience_counts(doubled: TokenReviews, double: ApiDouble, answer: Answer) -> None:
    double.answers = [answer]
    assert refusal(doubled, "secret-token") is Reason.UNKNOWN


@pytest.mark.parametrize(
    "answer", [status(), status(allowed=False), status(allowed=True, denied=True), status(allowed="yes")]
)
def test_only_a_clear_permission_counts(doubled: TokenReviews, double: ApiDouble, answer: Answer) -> None:
    double.answers = [known(), answer]
    assert refusal(doubled, "secret-token") is Reason.FORBIDDEN


def test_the_whole_user_is_asked_about(doubled: TokenReviews, double: ApiDouble) -> None:
    """Rights may come by a group, and a policy may look at the rest."""
    user = {"username": "u", "uid": "7", "groups": ["g"], "extra": {"authentication.kubernetes.io/pod-name": ["p"]}}
    double.answers = [known(user=user), status(allowed=True)]
    assert doubled.admit("secret-token", Right.READ) == "u"
    assert [question["spec"] for question in double.questions] == [
        {"token": "secret-token", "audiences": ["datastorage"]},
        {
            "user": "u",
            "uid": "7",
            "groups": ["g"],
            "extra": user["extra"],
            "resourceAttributes": {
                "namespace": SYSTEM,
                "group": "kubernaut.ai",
                "resource": "auditevents",
                "verb": "get",
            },
        },
    ]


def test_a_server_with_another_certificate_sees_no_token(
    world: World, double: ApiDouble, registry: CollectorRegistry
) -> None:
    settings = replace(world.settings, api_server=f"https://127.0.0.1:{double.server_address[1]}")
    assert refusal(TokenReviews(ApiServer(settings, registry), settings), world.writer) is Reason.UNAVAILABLE
    assert double.questions == []


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = engine_for(f"sqlite:///{tmp_path / 'audit.db'}")
    schema.upgrade(engine)
    yield engine
    engine.dispose()


def test_over_http(engine: Engine, world: World, reviews: TokenReviews, event: Event) -> None:
    with Service(engine, callers=reviews) as service, httpx.Client(base_url=service.url, timeout=60) as http:
        assert http.post(EVENTS, json=event(1), headers=_bearer(world.writer)).status_code == 201
        assert http.get(EVENTS, headers=_bearer(world.writer)).status_code == 403
        assert http.get(EVENTS, headers=_bearer(world.reader)).json()["pagination"]["total"] == 1
        assert http.post(EVENTS, json=event(2), headers=_bearer(world.reader)).status_code == 403
        assert http.get(EVENTS, headers=_bearer("nobody")).status_code == 401
        assert service.refusals() == {"forbidden": 2, "unknown": 1}


def test_without_the_api_server_nobody_new_is_let_in_and_nobody_is_called_a_stranger(
    engine: Engine,
    doubled: TokenReviews,
    double: ApiDouble,
    registry: CollectorRegistry,
    event: Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who was known a moment ago still is; the others are to come again. No token is shown anywhere."""
    caplog.set_level(logging.DEBUG)
    double.answers = [known(), status(allowed=True)]
    tokens = ("secret-writer-token", "secret-reader-token", "secret-nobody-token")
    with Service(engine, callers=doubled) as service, httpx.Client(base_url=service.url, timeout=60) as http:
        assert http.post(EVENTS, json=event(1), headers=_bearer(tokens[0])).status_code == 201
        double.shutdown()
        double.server_close()
        assert http.post(EVENTS, json=event(2), headers=_bearer(tokens[0])).status_code == 201
        answers = [http.get(EVENTS, headers=_bearer(token)) for token in tokens[1:]]
        for answer in answers:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["type"].endswith("/authentication-unavailable")
        assert service.refusals() == {"unavailable": 2}
        shown = "".join(answer.text + str(answer.headers) for answer in answers) + http.get("/metrics").text
    shown += generate_latest(registry).decode()
    ours = [record for record in caplog.records if record.name.startswith("datastorage")]
    assert {record.getMessage() for record in ours} >= {"request", "the API server did not answer"}
    shown += "".join(logs.JsonFormatter().format(record) for record in ours)
    assert not any(token in shown for token in tokens)


def test_a_silent_api_server_is_waited_for_no_longer_than_said(
    double: ApiDouble, registry: CollectorRegistry, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("own")
    settings = KubernetesSettings(
        api_server=f"https://127.0.0.1:{double.server_address[1]}",
        ca_file=double.ca,
        token_file=str(tmp_path / "token"),
        timeout=timedelta(milliseconds=200),
    )
    double.answers = [(SILENT, {}, b"")]
    assert refusal(TokenReviews(ApiServer(settings, registry), settings), "secret-token") is Reason.UNAVAILABLE
    double.silence.set()
    failed = "datastorage_token_review_failed_total"
    assert _value(registry, failed, question="token_review", reason="timeout") == 1


def test_a_crowd_with_one_token_asks_a_few_times(engine: Engine, world: World, registry: CollectorRegistry) -> None:
    settings = replace(world.settings, cache_time=timedelta(seconds=60))
    callers = TokenReviews(ApiServer(settings, registry), settings)
    with (
        Service(engine, callers=callers) as service,
        httpx.Client(base_url=service.url, timeout=60) as http,
        ThreadPoolExecutor(24) as crowd,
    ):
        answers = list(crowd.map(lambda _: http.get(EVENTS, headers=_bearer(world.reader)), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert _value(registry, "datastorage_token_review_duration_seconds_count", question="token_review") <= 4


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _admitted(reviews: TokenReviews, token: str, right: Right) -> bool:
    try:
        return bool(reviews.admit(token, right))
    except Refused:
        return False


def _value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _signed(key: ec.EllipticCurvePrivateKey, head: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a JWT signed by ES256 (RFC 7518, 3.4)."""

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    text = f"{part(json.dumps(head).encode())}.{part(json.dumps(claims).encode())}"
    halves = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(SHA256())))
    return f"{text}.{part(b''.join(half.to_bytes(32, 'big') for half in halves))}"
