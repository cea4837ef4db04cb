"""From settings to callers: exactly one way to know them is chosen, and what holds is said at the start.

So is whether they can be overheard.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from datastorage.api_server import ApiServer
from datastorage.callers import Callers
from datastorage.serving_certificate import ServingCertificate
from datastorage.settings import ServerSettings, Settings
from datastorage.token_file import TokenFile
from datastorage.token_review import TokenReviews
from models.errors import Misconfigured

log = logging.getLogger("datastorage")


def callers_of(settings: Settings, registry: CollectorRegistry) -> Callers | None:
    """Return who tells callers apart; None when nobody is asked, by the explicit setting. Raises Misconfigured."""
    server, kubernetes = settings.server, settings.kubernetes
    ways = {
        "server.token_file": bool(server.token_file),
        "kubernetes.token_review=true": kubernetes.token_review,
        "server.allow_unauthenticated=true": server.allow_unauthenticated,
    }
    chosen = [way for way, given in ways.items() if given]
    if not chosen:
        raise Misconfigured(
            "server.token_file is not set: allowed is a file of tokens, or in a cluster kubernetes.token_review=true, "
            "or, on a loopback address only, server.allow_unauthenticated=true"
        )
    if len(chosen) > 1:
        raise Misconfigured(f"{chosen[1]}: allowed only without {chosen[0]}")
    if server.token_file:
        return _token_file(server.token_file, registry)
    if kubernetes.token_review:
        _check_readable("kubernetes.ca_file", kubernetes.ca_file)
        _check_readable("kubernetes.token_file", kubernetes.token_file)
        fields = {"api_server": kubernetes.api_server, "audience": kubernetes.audience}
        log.info("tokens are reviewed by the API server", extra={"fields": fields})
        return TokenReviews(ApiServer(kubernetes, registry), kubernetes)
    return None


def check_exposure(server: ServerSettings, listener: socket.socket) -> None:
    """Refuse to serve without authentication where others than this machine can connect, and announce it elsewhere.

    Tokens that go over a network without TLS are announced. The address that was really taken counts, not what it was
    called. Raises Misconfigured.
    """
    if not server.allow_unauthenticated:
        if not server.tls_certificate_file and not is_loopback(listener):
            log.warning(
                "serving WITHOUT TLS (server.tls_certificate_file, server.tls_key_file): "
                "tokens travel in the clear to whoever can listen on the way"
            )
        return
    if not is_loopback(listener):
        raise Misconfigured(
            f"server.host={server.host}: allowed without authentication (server.allow_unauthenticated=true) is a "
            "loopback address; give server.token_file or kubernetes.token_review=true"
        )
    log.warning(
        "serving WITHOUT authentication (server.allow_unauthenticated=true): "
        "whoever is on this machine can read and write the audit"
    )


def certificate_of(server: ServerSettings, registry: CollectorRegistry) -> ServingCertificate | None:
    """Return the certificate to serve and expose its state; None without TLS. Raises Misconfigured."""
    if not server.tls_certificate_file:
        return None
    certificate = ServingCertificate(server.tls_certificate_file, server.tls_key_file)
    certificate_gauges(certificate.look, certificate.expires, registry)
    log.info("serving with TLS", extra={"fields": certificate.described()})
    return certificate


def certificate_gauges(good: Callable[[], bool], expires: Callable[[], float], registry: CollectorRegistry) -> None:
    """Expose whether the certificate's files are wrong, looked at with each scrape, and until when it is valid."""
    about = "1 while the old certificate is served because the new one is wrong."
    Gauge("datastorage_certificate_broken", about, registry=registry).set_function(lambda: float(not good()))
    until = "When the certificate that is served expires."
    Gauge("datastorage_certificate_expires_timestamp_seconds", until, registry=registry).set_function(expires)


def token_file_gauge(good: Callable[[], bool], registry: CollectorRegistry) -> None:
    """Expose whether the token file is wrong. It is looked at with each scrape: also where nobody asks for anything."""
    about = "1 while the old tokens hold because the new file is wrong."
    Gauge("datastorage_token_file_broken", about, registry=registry).set_function(lambda: float(not good()))


def is_loopback(listener: socket.socket) -> bool:
    """Say whether only this machine reaches a bound socket."""
    if listener.family == socket.AF_UNIX:
        return True
    address = ip_address(listener.getsockname()[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _check_readable(name: str, path: str) -> None:
    # A pod has both before it starts; elsewhere nobody would ever be let in.
    try:
        Path(path).read_bytes()
    except OSError:
        raise Misconfigured(f"{name}={path}: allowed is a readable file") from None


def _token_file(path: str, registry: CollectorRegistry) -> TokenFile:
    tokens = TokenFile(path)
    token_file_gauge(tokens.look, registry)
    log.info("a token is asked for", extra={"fields": {"token_file": path, "tokens": len(tokens)}})
    return tokens
