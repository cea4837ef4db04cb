"""What a declared execution must satisfy before anything is created for it; nothing relies on admission."""

from __future__ import annotations

import re

from models.duration import parse_duration
from models.execution import Engine, Spec
from models.target import InvalidTarget, Target

RESERVED_PARAMETERS = frozenset({"TARGET_RESOURCE"})
_ENVIRONMENT_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""What every supported API server takes as the name of a variable (core/v1 EnvVar); newer ones take more."""
LARGEST_SPEC = 1024 * 1024
"""Bytes. etcd takes 1.5 MiB: the rest is for metadata and for a status that must still be written at the end."""

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
    if spec.engine is Engine.JOB and (nameless := _no_variables(spec)):
        allowed = "expected letters, digits, '-', '_' and '.', and no digit first, for a job gets them as variables"
        return f"spec.parameters names {', '.join(nameless)[:200]}: {allowed}"
    return _fault_of_timeout(spec.timeout) or _fault_of_digest(spec.image, spec.digest) or _fault_of_size(spec)


def _no_variables(spec: Spec) -> list[str]:
    return [repr(name[:60]) for name in sorted(spec.parameters) if not _ENVIRONMENT_NAME.fullmatch(name)]


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


def _fault_of_digest(image: str, text: str) -> str | None:
    pinned = image.partition("@")[2]
    if pinned and text and pinned != text:
        return f"spec.workflowRef.containerDigest is {text[:80]!r}, but containerImage is pinned to {pinned[:80]!r}"
    if not text or _DIGEST.fullmatch(text):
        return None
    return f"spec.workflowRef.containerDigest is {text[:80]!r}: expected sha256: and 64 hexadecimal digits"


def too_large(spec: Spec) -> bool:
    """Say whether so little room is left in the object that nothing must be begun with it, not even a finalizer."""
    return spec.size > LARGEST_SPEC


def _fault_of_size(spec: Spec) -> str | None:
    if not too_large(spec):
        return None
    return f"spec takes {spec.size} bytes: at most {LARGEST_SPEC}, so that its status still fits into the object"
