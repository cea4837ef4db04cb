"""Ed25519 keys: the one that signs, read from its secret file, and the public halves that are trusted.

A key's id is taken from its public half, so none has to be given: a new key in the file is the rotation, and the old
public half stays among the trusted ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from models.audit_checkpoint import Checkpoint
from models.audit_removal import Removal
from models.errors import Misconfigured

_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


class SigningKey:
    """A private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKeys([key.public_key()])
        self.key_id = key_id(key.public_key())

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message."""
        return self._key.sign(message)


class PublicKeys:
    """The public keys that are trusted, by their ids."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys: Mapping[str, Ed25519PublicKey] = {key_id(key): key for key in keys}

    def __or__(self, others: PublicKeys) -> PublicKeys:
        return PublicKeys([*self._keys.values(), *others._keys.values()])

    def __bool__(self) -> bool:
        return bool(self._keys)

    def fault(self, key: str, message: bytes, signature: bytes) -> str:
        """Say what is wrong with a signature; empty when it is good."""
        if key not in self._keys:
            return f"it is signed by key {key or '?'}, which is not among the trusted ones"
        try:
            self._keys[key].verify(signature, message)
        except InvalidSignature:
            return f"its signature by key {key} is wrong: it was changed or replaced"
        return ""

    def fault_of(self, signed: Checkpoint | Removal) -> str:
        """Say what is wrong with the signature of a checkpoint or a stub; empty when it is good."""
        return self.fault(signed.key_id, signed.statement, signed.signature)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the first 16 hex digits of the SHA-256 of the raw public key."""
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def new_key() -> tuple[bytes, bytes]:
    """Make a key; return its private and its public half as PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_signing_key(name: str, path: str) -> SigningKey:
    """Read a private key. Raises Misconfigured, naming the setting and the file, nothing of what is in it."""
    allowed = f"{name}={path}: allowed is a file with an Ed25519 private key in PEM (`datastorage keygen FILE`)"
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise Misconfigured(allowed) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Misconfigured(allowed)
    return SigningKey(key)


def read_public_keys(name: str, path: str) -> PublicKeys:
    """Read a file with one public key in PEM or more. Raises Misconfigured."""
    allowed = f"{name}={path}: allowed is a file with Ed25519 public keys in PEM"
    try:
        keys = [load_pem_public_key(block) for block in _PUBLIC.findall(Path(path).read_bytes())]
    except (OSError, ValueError):
        raise Misconfigured(allowed) from None
    if not keys or not all(isinstance(key, Ed25519PublicKey) for key in keys):
        raise Misconfigured(allowed)
    return PublicKeys(key for key in keys if isinstance(key, Ed25519PublicKey))
