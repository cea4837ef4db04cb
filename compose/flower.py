"""Flower's configuration file in the container: login from the secret, and nothing can be changed through it."""

from pathlib import Path

# Only reading: Flower refuses every method that changes something.
import cli.local.flowerconfig  # noqa: F401

basic_auth = ["wfe:" + Path("/run/secrets/flower_password").read_text(encoding="utf-8").strip()]
