"""Callers whose tokens the Kubernetes API server knows: TokenReview says who it is, SubjectAccessReview what he may do.

The right is one over a resource that exists in rules only: `auditevents` of kubernaut.ai, `create` to write, `get` to
read and `hold` to set and lift legal holds, in one namespace. What was allowed is remembered for seconds, by a hash of
the token; a refusal never is.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from datastorage.api_server import ApiServer, Connection, Question, Unanswered
from datastorage.callers import Reason, Refused, Right, digest, forbidden, unknown
from datastorage.settings import KubernetesSettings

GROUP, RESOURCE = "kubernaut.ai", "auditevents"
VERBS = {Right.WRITE: "create", Right.READ: "get", Right.HOLD: "hold"}
"""The last is a verb of our own: whoever has all of the common verbs over everything of a group has it not."""
MOST = 1000
"""Callers and rights that are remembered at once; the oldest goes first."""


class TokenReviews:
    """The callers of a cluster. Safe in several threads; `monotonic` gives seconds."""

    def __init__(
        self, api: ApiServer, settings: KubernetesSettings, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._settings = settings
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until: OrderedDict[tuple[bytes, Right], tuple[float, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def remembered(self, token: str, right: Right) -> str | None:
        """Return the name of a caller who had the right a moment ago."""
        with self._lock:
            until, name = self._until.get((digest(token), right), (0.0, ""))
            return name if self._monotonic() < until else None

    def admit(self, token: str, right: Right) -> str:
        """Ask the API server for a caller's name and right. Raises Refused."""
        name = self.remembered(token, right)
        if name is not None:
            return name  # somebody has asked while this one waited for a thread
        # From before the question: the answer is not younger than that.
        until = self._monotonic() + self._settings.cache_time.total_seconds()
        try:
            with self._api.connection() as connection:
                user = _authenticated(connection, token, self._settings.audience)
                if not _allowed(connection, user, right, self._settings.namespace):
                    raise forbidden(user["username"], right)
        except Unanswered as silent:
            raise Refused(
                Reason.UNAVAILABLE,
                "the API server cannot be asked about the token; try again later",
                retry_after=silent.retry_after,
            ) from None
        self._remember((digest(token), right), until, user["username"])
        return str(user["username"])

    def _remember(self, key: tuple[bytes, Right], until: float, name: str) -> None:
        with self._lock:
            self._until[key] = (until, name)
            self._until.move_to_end(key)
            now = self._monotonic()
            # In the order of their ends, as all last equally long.
            while self._until and (len(self._until) > MOST or next(iter(self._until.values()))[0] <= now):
                self._until.popitem(last=False)


def _authenticated(connection: Connection, token: str, audience: str) -> Mapping[str, Any]:
    """Return the user a token stands for. Raises Refused, Unanswered."""
    status = connection.ask(Question.TOKEN_REVIEW, "TokenReview", {"token": token, "audiences": [audience]})
    user = status.get("user")
    # An API server that knows nothing of audiences names none: then the token is for it, not for us.
    if status.get("authenticated") is not True or audience not in (status.get("audiences") or ()):
        raise unknown()
    if not isinstance(user, Mapping) or not isinstance(user.get("username"), str) or not user["username"]:
        raise unknown()
    return user


def _allowed(connection: Connection, user: Mapping[str, Any], right: Right, namespace: str) -> bool:
    about = {"namespace": namespace, "group": GROUP, "resource": RESOURCE, "verb": VERBS[right]}
    asked = {"user": user["username"], "resourceAttributes": about}
    asked |= {name: user[name] for name in ("uid", "groups", "extra") if user.get(name)}
    status = connection.ask(Question.ACCESS_REVIEW, "SubjectAccessReview", asked)
    return status.get("allowed") is True and status.get("denied") is not True
