"""From settings to signatures: the keys of this process, and the rounds in which it takes checkpoints."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from datastorage.checkpoints import Checkpoints, Rounds, Seals
from datastorage.keys import PublicKeys, read_public_keys, read_signing_key
from datastorage.settings import CheckpointSettings
from models.errors import Misconfigured


def seals_of(settings: CheckpointSettings) -> Seals:
    """Read the key files. Raises Misconfigured."""
    key = read_signing_key("checkpoint.key_file", settings.key_file) if settings.key_file else None
    trusted = PublicKeys(())
    if settings.trusted_keys_file:
        trusted = read_public_keys("checkpoint.trusted_keys_file", settings.trusted_keys_file)
    anchor = Path(settings.anchor_file) if settings.anchor_file else None
    if anchor is not None and not anchor.parent.is_dir():
        raise Misconfigured(f"checkpoint.anchor_file={anchor}: allowed is a file in a directory that exists")
    return Seals(key, trusted, anchor)


def rounds_of(checkpoints: Checkpoints, seals: Seals, settings: CheckpointSettings) -> AbstractContextManager[object]:
    """Take checkpoints by themselves while the context lasts, when there is a key."""
    return Rounds(checkpoints, seals.key, settings.interval) if seals.key else nullcontext()
