"""Issue the certificates of one cluster: its own authority, a serving certificate, client certificates.

Every cluster has its own authority, so that a kubeconfig of one is refused by every other. The keys never leave the
cluster's directory.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID: Final = timedelta(days=365)
# A clock that is set back a little must not make a fresh certificate invalid.
_BEFORE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """Paths of a certificate and its key, in PEM."""

    certificate: Path
    key: Path


class Authority:
    """Issue certificates into a directory, signed by the key in it, which is made if there is none."""

    def __init__(self, directory: Path, now: datetime) -> None:
        """Read or make the authority's key and certificate."""
        self._directory = directory
        self._now = now.astimezone(UTC)
        self.pair = Pair(directory / "ca.crt", directory / "ca.key")
        if self.pair.key.exists():
            loaded = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
            assert isinstance(loaded, ec.EllipticCurvePrivateKey)
            self._key = loaded
            self._certificate = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
            return
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key = new_key(self.pair.key)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"devcluster {directory.parent.name}"[:64])])
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = self._builder(name, name, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._certificate = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.pair.certificate.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def serving(self, name: str, hosts: Iterable[str]) -> Pair:
        """Issue a certificate for a server that is reached under each of the hosts (names or IP addresses)."""
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._issue(name, subject, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, file: str, user: str, groups: Iterable[str] = ()) -> Pair:
        """Issue a client certificate; Kubernetes takes the user from CN and the groups from O."""
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        subject += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        return self._issue(file, x509.Name(subject), ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def _issue(
        self, file: str, subject: x509.Name, purpose: x509.ObjectIdentifier, names: list[x509.GeneralName]
    ) -> Pair:
        pair = Pair(self._directory / f"{file}.crt", self._directory / f"{file}.key")
        key = new_key(pair.key)
        builder = self._builder(subject, self._certificate.subject, key)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        pair.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return pair

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        # Python 3.13 refuses chains without these two under its strict verification.
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        signer = self._key.public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
        return builder.not_valid_before(self._now - _BEFORE).not_valid_after(self._now + _VALID)


def new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key and write it, in SEC 1 as Kubernetes wants account keys, for its owner only."""
    key = ec.generate_private_key(ec.SECP256R1())
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(encoded)
    return key


def write_kubeconfig(path: Path, server: str, cluster: str, authority: Path, client: Pair) -> Path:
    """Write a kubeconfig with everything embedded, readable by its owner only, and return its path."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster, "cluster": {"server": server, "certificate-authority-data": _embedded(authority)}}
        ],
        "users": [
            {
                "name": path.stem,
                "user": {
                    "client-certificate-data": _embedded(client.certificate),
                    "client-key-data": _embedded(client.key),
                },
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": path.stem}}],
        "current-context": cluster,
    }
    path.touch(mode=0o600)
    # JSON is YAML, and every client reads it.
    path.write_text(json.dumps(config, indent=1) + "\n")
    return path


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
