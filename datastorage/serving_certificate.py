"""The certificate that DataStorage serves, read again as its files change: a new one is served without a restart.

A new pair that is wrong changes nothing: the last good one is served, which the log and a metric say. A connection
keeps the certificate that it began with.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509

from models.errors import Misconfigured

_LOOK_EVERY = 1.0  # seconds

log = logging.getLogger("datastorage.tls")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, as a handshake takes it."""

    context: ssl.SSLContext
    expires: datetime


class ServingCertificate:
    """The pair of two files. `monotonic` gives seconds. Handshakes and scrapes look at the files, in one thread."""

    def __init__(self, certificate_file: str, key_file: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Read the pair. Raises Misconfigured, naming the files but nothing of what is in them."""
        self._certificate_file = certificate_file
        self._key_file = key_file
        self._monotonic = monotonic
        self._seen = self._digest()
        self._pair = self._read()
        self._looked = monotonic()
        self._fault = ""
        self.context = self._pair.context
        # Called at each handshake, also where the client names no host.
        self.context.sni_callback = self._hand_over

    def expires(self) -> float:
        """Return when the certificate that is served stops being valid, in seconds since 1970."""
        return self._pair.expires.timestamp()

    def look(self) -> bool:
        """Take over what the files say now, once a second at most; say whether it is a good pair."""
        now = self._monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._take_over()
        return not self._fault

    def described(self) -> dict[str, object]:
        """Return what the log says of it."""
        return {"certificate_file": self._certificate_file, "expires": self._pair.expires.isoformat()}

    def _hand_over(self, connection: ssl.SSLObject, _host: str | None, _context: ssl.SSLContext) -> None:
        self.look()
        connection.context = self._pair.context

    def _take_over(self) -> None:
        try:
            # Before the pair itself: what changes in between is seen the next time.
            seen = self._digest()
            if seen != self._seen:
                self._pair = self._read()
                self._seen = seen
                log.info("the certificate was read again", extra={"fields": self.described()})
            elif self._fault:
                log.info("the certificate is as before", extra={"fields": self.described()})
            self._fault = ""
        except Misconfigured as wrong:
            if str(wrong) != self._fault:
                log.error("the certificate is broken; the old one is served", extra={"fields": {"fault": str(wrong)}})
            self._fault = str(wrong)

    def _digest(self) -> bytes:
        return (
            sha256(_content("server.tls_certificate_file", self._certificate_file)).digest()
            + sha256(_content("server.tls_key_file", self._key_file)).digest()
        )

    def _read(self) -> Pair:
        """Return what the files hold, in a context of its own: a wrong pair must not spoil the one that is served."""
        name = f"server.tls_certificate_file={self._certificate_file}"
        try:
            first = x509.load_pem_x509_certificates(_content("server.tls_certificate_file", self._certificate_file))[0]
        except ValueError:
            raise Misconfigured(f"{name}: allowed are certificates in PEM, the service's own first") from None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            # A key with a password would be asked for at the terminal.
            context.load_cert_chain(self._certificate_file, self._key_file, password="")
        except OSError:  # ssl.SSLError is one
            raise Misconfigured(
                f"server.tls_key_file={self._key_file}: allowed is the key of {name}, in PEM and without a password"
            ) from None
        return Pair(context, first.not_valid_after_utc)


def _content(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        raise Misconfigured(f"{name}={path}: allowed is a readable file") from None
