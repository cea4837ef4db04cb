"""What the parts of a local stack prove themselves with: made once, in files of this user alone, never shown."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cli.local.places import Places
from datastorage.keys import new_key

_OURS_ALONE = 0o600


def make_secrets(places: Places) -> None:
    """Make what is missing: Flower's password, the two tokens of the audit, and the key that signs its checkpoints."""
    _make(places.flower_password, secrets.token_urlsafe(18))
    _make(places.write_token, secrets.token_urlsafe(32))
    _make(places.read_token, secrets.token_urlsafe(32))
    executor, reader = (file.read_text() for file in (places.write_token, places.read_token))
    _make(places.tokens, f"executor write {executor}\nwfe read,hold {reader}\n")
    if not places.audit_key.exists():
        private, public = new_key()
        _make(places.audit_key, private.decode())
        places.audit_public_key.write_bytes(public)


def _make(file: Path, text: str) -> None:
    if file.exists():
        return
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OURS_ALONE), "w") as secret:
        secret.write(text)
