"""What a declared execution must satisfy before anything is created for it; nothing relies on admission."""

from __future__ import annotations

import re

from models.duration import parse_duration
from models.execution import Spec
from models.target import InvalidTarget, Target

RESERVED_PARAMETERS = frozenset({"TARGET_RESOURCE"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def find_fault(spec: Spec) -> str | None:
    """Return what is wrong with a spec, in the contract's order, or None.

    An unreadable timeout or digest counts too: running something else than what was declared would be worse.
    """
    if not spec.image.strip():
        return "spec.workflowRef.containerImage is empty: expected an OCI image reference"
    try:
        Target.parse(spec.target)
    except InvalidTarget as fault:
        return str(fault)
    reserved = sorted(RESERVED_PARAMETERS & set(spec.parameters))
    if reserved:
        return f"spec.parameters names {', '.join(reserved)}, which the executor itself sets: choose another name"
    return _fault_of_timeout(spec.timeout) or _fault_of_digest(spec.digest)


def _fault_of_timeout(text: str) -> str | None:
    if not text:
        return None
    try:
        timeout = parse_duration(text)
    except ValueError as fault:
        return f"spec.executionConfig.timeout: {fault}"
    if timeout.total_seconds() <= 0:
        return f"spec.executionConfig.timeout is {text[:60]!r}: expected a duration above zero such as 30m or 1h30m"
    return None


def _fault_of_digest(text: str) -> str | None:
    if not text or _DIGEST.fullmatch(text):
        return None
    return f"spec.workflowRef.containerDigest is {text[:80]!r}: expected sha256: and 64 hexadecimal digits"
