"""Probes and metrics over HTTP: is a stream deaf, is everything listed, what do the counters say."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from watcher.state import StreamState

JSON = "application/json"
Answer = tuple[int, str, bytes]
Routes = dict[str, Callable[[], Answer]]


def deaf_streams(states: Sequence[StreamState], longest_silence: float) -> list[str]:
    """Name the streams on which the server has said nothing, not even a bookmark, for too long (seconds)."""
    return [
        f"{state.resource}: no event or bookmark for {state.silent_for:.0f} s"
        for state in states
        if state.silent_for > longest_silence
    ]


def unlisted_streams(states: Sequence[StreamState]) -> list[str]:
    """Name the streams that have not listed everything yet."""
    return [f"{state.resource}: {_missing(state)}" for state in states if not state.ready]


def _missing(state: StreamState) -> str:
    return "the API server does not know this type" if state.absent else "not listed yet"


def probe(problems: Callable[[], list[str]]) -> Callable[[], Answer]:
    """Answer 200 when there is no problem, else 503 with all of them."""

    def answer() -> Answer:
        found = problems()
        body = {"status": "unavailable" if found else "ok", "problems": found}
        return (503 if found else 200), JSON, json.dumps(body).encode()

    return answer


def exposition(registry: CollectorRegistry) -> Callable[[], Answer]:
    """Answer with the metrics of a registry."""
    return lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry))


def register_streams(registry: CollectorRegistry, states: Sequence[StreamState]) -> None:
    """Expose when each stream last heard an event or bookmark."""
    gauge = Gauge(
        "workflowexecution_watch_last_event_timestamp_seconds",
        "Unix time of the last event or bookmark of a watch.",
        ["resource"],
        registry=registry,
    )
    for state in states:
        gauge.labels(state.resource).set_function(lambda state=state: state.last_event)  # type: ignore[misc]


class Endpoint:
    """A small HTTP server in its own thread; port 0 takes a free one."""

    def __init__(self, host: str, port: int, routes: Routes) -> None:
        self._server = _listen(host, port, type("Handler", (_Handler,), {"routes": routes}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Return where this machine reaches it, `host:port`."""
        host, port = self._server.server_address[:2]
        reachable = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(str(host), str(host))
        return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1)


class _Handler(BaseHTTPRequestHandler):
    routes: Routes
    timeout = 5

    def do_GET(self) -> None:
        route = self.routes.get(self.path.partition("?")[0])
        code, kind, body = route() if route else (404, "text/plain", b"not found\n")
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _BothFamilies(_Server):
    """Listens on every interface, IPv4 and IPv6."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def _listen(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server: type[_Server] = type("Server", (_Server,), {"address_family": family})
        return server((host, port), handler)
    if socket.has_dualstack_ipv6():
        return _BothFamilies(("::", port), handler)
    return _Server(("0.0.0.0", port), handler)
