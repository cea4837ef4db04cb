"""Who is asking: the name under which the API server knows the caller of this command."""

from __future__ import annotations

from cli.access import Access
from cli.errors import CommandError
from tasks.adapters import paths

_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


def caller(access: Access) -> str:
    """Return the caller's user name. Raises CommandError, ExecutorError."""
    answer = access.cluster.create(paths.self_review(), _REVIEW)
    name = ((answer.get("status") or {}).get("userInfo") or {}).get("username") or ""
    if not name:
        raise CommandError("the API server does not say who you are, so nobody could sign for this")
    return str(name)
