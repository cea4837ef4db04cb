"""Whose word counts that a server is DataStorage: the authorities that its certificate may come from.

They are read at each handshake, so that a new file needs no restart. Certificate and host name are verified, always.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from models.errors import Transient


class Untrusted(Transient):
    """Nobody we trust says that this is DataStorage, or we cannot read whom to trust: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Authorities:
    """Those of `audit.ca_file` (PEM); without a file those of the system."""

    ca_file: str = ""

    def context(self) -> ssl.SSLContext:
        """Return what a handshake needs. Raises Untrusted when the file cannot be read."""
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:
            reason = "no certificate in PEM is in it" if isinstance(error, ssl.SSLError) else error.strerror
            raise Untrusted(f"audit.ca_file={self.ca_file} cannot be read: {reason}") from error

    def refusal(self, error: BaseException) -> Untrusted | None:
        """Return what was wrong with a certificate; None when a handshake failed for another reason."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__
        if cause is None:
            return None
        trusted = (
            f"those of audit.ca_file={self.ca_file}" if self.ca_file else "the system's; audit.ca_file names others"
        )
        reason = cause.verify_message.rstrip(".")
        return Untrusted(f"DataStorage's certificate is refused: {reason} (trusted authorities: {trusted})")


TRUST_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Verifies and knows no authority: for what wants a context before the handshake."""
