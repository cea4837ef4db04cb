"""Running the application under uvicorn: a bound socket first, requests until a signal, accepted ones finished."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from datastorage.serving_certificate import ServingCertificate
from datastorage.settings import ServerSettings

_FAREWELL = 1.0
"""Seconds for a client to answer the end of TLS. An idle one does not, and asyncio would wait for half a minute."""

log = logging.getLogger("datastorage")


def bind(server: ServerSettings) -> socket.socket:
    """Take the address that the settings say; nobody can connect yet. Raises OSError when it cannot be had."""
    if server.unix_socket:
        return _bind_unix(Path(server.unix_socket))
    family, kind, protocol, _, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket, scheme: str) -> str:
    """Return where a bound socket is reached."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def run(app: FastAPI, listener: socket.socket, server: ServerSettings, certificate: ServingCertificate | None) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was accepted and return; with a certificate by TLS alone."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # Longer than any client keeps an idle connection: a request must not meet one that is just being closed.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(server.shutdown_timeout.total_seconds()),
    )
    # uvicorn raises the signal again when it has stopped; that must not end the process with its code.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    # From here on a connection is held until it is served, so that the line below is true.
    listener.listen(config.backlog)
    config.load()
    if certificate is not None:
        config.ssl = certificate.context
    log.info("listening", extra={"fields": {"url": url_of(listener, "https" if certificate else "http")}})
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))
    log.info("stopped")


class _Loop(asyncio.SelectorEventLoop):
    """Says goodbye in time; uvicorn has no setting for it."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        if options.get("ssl") is not None:
            options["ssl_shutdown_timeout"] = _FAREWELL
        return await super().create_server(*arguments, **options)


def _bind_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(FileNotFoundError):
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()  # one that a killed process left
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError:
        listener.close()
        raise
    return listener


def _ignore(_number: int, _frame: FrameType | None) -> None:
    return
