"""The cluster adapter against scripted answers: what each means to a caller, and what is sent."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from models.errors import Conflict, Misconfigured, Permanent, Transient
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import AlreadyExists, Expired, ResourceAbsent, Vanished
from tests.unit.cluster.conftest import Serve
from tests.unit.cluster.scripted import Reply, Request, ScriptedServer, status

pytestmark = pytest.mark.enable_socket
PATH = paths.pipeline_run("workflows", "wfe-1")


@pytest.mark.parametrize(
    ("code", "body", "error"),
    [
        (409, status(409, "AlreadyExists"), AlreadyExists),
        (409, status(409, "Conflict"), Conflict),
        (404, status(404, "NotFound", name="wfe-1", kind="pipelineruns"), Vanished),
        (404, b"404 page not found\n", ResourceAbsent),
        (410, status(410, "Expired"), Expired),
        (403, status(403, "Forbidden", "exceeded quota: runs"), Permanent),
        (422, status(422, "Invalid"), Permanent),
        (400, status(400, "BadRequest"), Permanent),
        (413, b"", Permanent),
        (401, status(401, "Unauthorized"), Transient),
        (408, b"", Transient),
        (429, status(429, "TooManyRequests"), Transient),
        (500, status(500, "InternalError"), Transient),
        (503, b"<html>busy</html>", Transient),
        (504, status(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}]), Expired),
    ],
)
def test_every_refusal_says_what_the_caller_does(serve: Serve, code: int, body: object, error: type[Exception]) -> None:
    _, cluster = serve(lambda request: Reply(code, body))
    with pytest.raises(error) as caught:
        cluster.merge_patch(PATH, {})
    assert type(caught.value) is error
    assert str(code) in str(caught.value)


def test_a_permanent_refusal_keeps_the_servers_reason_and_text(serve: Serve) -> None:
    _, cluster = serve(lambda request: Reply(403, status(403, "Forbidden", "exceeded quota: runs")))
    with pytest.raises(Permanent, match="exceeded quota") as caught:
        cluster.create(paths.pipeline_runs("workflows"), {})
    assert caught.value.reason == "Forbidden"


def test_creating_in_a_namespace_that_is_gone_is_permanent(serve: Serve) -> None:
    _, cluster = serve(lambda request: Reply(404, status(404, "NotFound", kind="namespaces", name="workflows")))
    with pytest.raises(Permanent) as caught:
        cluster.create(paths.pipeline_runs("workflows"), {})
    assert caught.value.reason == "NotFound"


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"Retry-After": "7"}, b"", timedelta(seconds=7)),
        ({}, status(429, "TooManyRequests", retryAfterSeconds=3), timedelta(seconds=3)),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"", None),
        ({}, b"", None),
    ],
)
def test_a_busy_server_says_how_long(
    serve: Serve, headers: dict[str, str], body: object, wait: timedelta | None
) -> None:
    _, cluster = serve(lambda request: Reply(429, body, headers))
    with pytest.raises(Transient) as caught:
        cluster.get(PATH)
    assert caught.value.retry_after == wait


def test_messages_are_cut_and_hide_credentials(serve: Serve) -> None:
    text = "Authorization: Bearer abcdefghijkl.mnop " + "x" * 5000
    _, cluster = serve(lambda request: Reply(500, status(500, "InternalError", text)))
    with pytest.raises(Transient) as caught:
        cluster.get(PATH)
    assert len(str(caught.value)) == 500
    assert "abcdefghijkl" not in str(caught.value)


def test_a_missing_object_is_none_and_a_missing_type_is_not(serve: Serve) -> None:
    server, cluster = serve(lambda request: Reply(404, status(404, "NotFound", name="wfe-1", kind="pipelineruns")))
    assert cluster.get(PATH) is None
    assert cluster.delete(PATH, uid="u") is None
    server.script = lambda request: Reply(404, b"404 page not found\n")
    with pytest.raises(ResourceAbsent):
        cluster.get(PATH)
    with pytest.raises(ResourceAbsent):
        list(cluster.list(paths.pipeline_runs()))


def test_delete_names_the_object_it_means(serve: Serve) -> None:
    server, cluster = serve(lambda request: Reply(200, {"kind": "Status", "status": "Success"}))
    cluster.delete(PATH, uid="the-uid")
    options = json.loads(server.requests[0].body)
    assert options["preconditions"] == {"uid": "the-uid"}
    assert options["propagationPolicy"] == "Background"


def test_merge_patch_goes_to_the_subresource_as_a_merge_patch(serve: Serve) -> None:
    server, cluster = serve(lambda request: Reply(200, {}))
    cluster.merge_patch(PATH, {"status": {}}, subresource="status")
    request = server.requests[0]
    assert (request.method, request.path) == ("PATCH", f"{PATH}/status")
    assert request.headers["Content-Type"] == "application/merge-patch+json"


def test_a_list_is_read_in_pages_and_asks_for_no_version(serve: Serve) -> None:
    def pages(request: Request) -> Reply:
        first = "continue" not in request.params
        return Reply(
            200, {"metadata": {"resourceVersion": "9", "continue": "t" if first else ""}, "items": [{"first": first}]}
        )

    server, cluster = serve(pages)
    assert [item["first"] for item in cluster.list(paths.executions(), label_selector="a=b")] == [True, False]
    assert all("resourceVersion" not in request.params for request in server.requests)
    assert all(request.params["limit"] == "500" for request in server.requests)
    assert all(request.params["labelSelector"] == "a=b" for request in server.requests)


def test_a_list_starts_again_when_its_token_expired(serve: Serve) -> None:
    def pages(request: Request) -> Reply:
        if "continue" in request.params and len(server.requests) < 3:
            return Reply(410, status(410, "Expired"))
        more = "" if "continue" in request.params else "t"
        return Reply(200, {"metadata": {"continue": more}, "items": [{"page": len(server.requests)}]})

    server, cluster = serve(pages)
    assert [item["page"] for item in cluster.list(paths.executions())] == [1, 3, 4]


def test_a_list_that_always_expires_ends(serve: Serve) -> None:
    server, cluster = serve(lambda request: Reply(410, status(410, "Expired")))
    with pytest.raises(Expired):
        list(cluster.list(paths.executions()))
    assert len(server.requests) == 6


def test_nobody_listening_is_transient(tmp_path: Path) -> None:
    server = ScriptedServer(lambda request: Reply(200, {}))
    kubeconfig = server.kubeconfig(tmp_path)
    server.stop()
    with pytest.raises(Transient, match="no answer"):
        Cluster.connect(kubeconfig).get(PATH)


def test_a_silent_server_is_transient_within_the_timeout(serve: Serve) -> None:
    _, cluster = serve(lambda request: Reply(then="silence"))
    start = time.monotonic()
    with pytest.raises(Transient, match="timed out"):
        cluster.with_timeout(timedelta(seconds=0.2)).merge_patch(PATH, {})
    assert time.monotonic() - start < 30, "it is the timeout of the whole cluster"


def test_a_read_survives_one_reset_and_a_write_reports_it(serve: Serve) -> None:
    def reset_first(request: Request) -> Reply:
        return Reply(then="reset") if len(server.requests) % 2 else Reply(200, {"ok": True})

    server, cluster = serve(reset_first)
    assert cluster.get(PATH) == {"ok": True}
    with pytest.raises(Transient):
        cluster.create(PATH, {})
    assert len(server.requests) == 3


def test_an_answer_that_is_no_object_is_transient(serve: Serve) -> None:
    server, cluster = serve(lambda request: Reply(200, b"<html>"))
    for body in (b"<html>", b"[1]"):
        server.script = lambda request, body=body: Reply(200, body)  # type: ignore[misc]
        with pytest.raises(Transient, match="no JSON"):
            cluster.get(PATH)


def test_the_token_travels_and_a_path_prefix_is_kept(tmp_path: Path) -> None:
    server = ScriptedServer(lambda request: Reply(200, {}))
    Cluster.connect(server.kubeconfig(tmp_path, token="the-token", prefix="/k8s/a/")).get("/version")
    server.stop()
    assert server.requests[0].path == "/k8s/a/version"
    assert server.requests[0].headers["Authorization"] == "Bearer the-token"


def test_refused_credentials_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_new(request: Request) -> Reply:
        known = request.headers.get("Authorization") == "Bearer new"
        return Reply(200, {}) if known else Reply(401, status(401, "Unauthorized"))

    server = ScriptedServer(only_new)
    kubeconfig = server.kubeconfig(tmp_path, token="old")
    monkeypatch.setattr("tasks.adapters.cluster.RELOAD_PAUSE", 0)
    cluster = Cluster.connect(kubeconfig)
    server.kubeconfig(tmp_path, token="new")
    with pytest.raises(Transient):
        cluster.get(PATH)
    assert cluster.get(PATH) == {}
    server.stop()


@pytest.mark.parametrize("text", [None, "", "no: config", ": [", "clusters: 3\ncontexts: 4\nusers: 5"])
def test_an_unusable_kubeconfig_is_misconfigured(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Misconfigured, match=r"kubernetes\.kubeconfig"):
        Cluster.connect(str(file))


def test_an_unknown_context_is_misconfigured(tmp_path: Path, serve: Serve) -> None:
    server, _ = serve(lambda request: Reply(200, {}))
    with pytest.raises(Misconfigured):
        Cluster.connect(server.kubeconfig(tmp_path), context="elsewhere")


READ = timedelta(seconds=30)


def test_a_stream_yields_whole_lines_whatever_the_chunks(serve: Serve) -> None:
    text = "é" * 3 + "\n" + "b" * 100_000 + "\n\n"
    raw = text.encode()
    chunks = [raw[at : at + 7] for at in range(0, 14, 7)] + [raw[14:]]
    _, cluster = serve(lambda request: Reply(chunks=chunks))
    with cluster.stream(PATH, {"watch": "1"}, read_timeout=READ) as lines:
        assert list(lines) == ["é".encode() * 3, b"b" * 100_000]


def test_a_stream_drops_a_line_cut_off(serve: Serve) -> None:
    _, cluster = serve(lambda request: Reply(chunks=[b"one\ntw"]))
    with cluster.stream(PATH, {}, read_timeout=READ) as lines:
        assert list(lines) == [b"one"]


@pytest.mark.parametrize("then", ["reset", "hang"])
def test_a_broken_or_silent_stream_is_transient(serve: Serve, then: str) -> None:
    _, cluster = serve(lambda request: Reply(chunks=[b"one\n"], then=then))
    with cluster.stream(PATH, {}, read_timeout=timedelta(seconds=1)) as lines:
        seen = iter(lines)
        assert next(seen) == b"one"
        with pytest.raises(Transient):
            next(seen)


def test_a_refused_stream_raises_what_the_refusal_means(serve: Serve) -> None:
    _, cluster = serve(lambda request: Reply(410, status(410, "Expired")))
    with pytest.raises(Expired):
        cluster.stream(PATH, {}, read_timeout=READ)


def test_closing_a_stream_from_outside_ends_its_reader(serve: Serve) -> None:
    _, cluster = serve(lambda request: Reply(chunks=[b"one\n"], then="hang"))
    stream = cluster.stream(PATH, {}, read_timeout=timedelta(seconds=60))
    seen = threading.Event()

    def read() -> None:
        for _ in stream:
            seen.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert seen.wait(60)
    stream.close()
    reader.join(30)  # less than its own timeout
    assert not reader.is_alive()


def test_connections_are_kept(serve: Serve) -> None:
    server, cluster = serve(lambda request: Reply(200, {}))
    for _ in range(5):
        cluster.get(PATH)
    pool = cluster._session.transport._pool
    assert pool.num_connections == 1
    assert len(server.requests) == 5
