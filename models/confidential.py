"""Which parameter values are confidential, and texts without them.

Whoever sees an execution or its run may quote a parameter: an admission policy in its refusal, Tekton in a condition.
Such a text goes into logs, Kubernetes Events and audit rows, whose readers need not be those of the execution.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

BLANK = "***"
SHORTEST = 4
"""Characters; a shorter value would blank ordinary words."""
CUT_FROM = 500
"""Characters of a text that somebody may have cut in the midst of a value."""

_NAME = re.compile("pass|secret|token|credential|api.?key|private.?key|auth", re.IGNORECASE)
_ESCAPED_BY_GO = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def confidential(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of parameters whose name looks like a secret."""
    return tuple({value for name, value in parameters.items() if _NAME.search(name) and len(value) >= SHORTEST})


def without(text: str, secrets: Iterable[str]) -> str:
    """Blank values in a text, also as JSON or Go quote them, in one line, or cut off at its end."""
    forms = sorted({form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}, key=_longest_first)
    for form in forms:
        text = text.replace(form, BLANK)
    if len(text) >= CUT_FROM:
        text = _without_cut_end(text, forms)
    return text


def _longest_first(form: str) -> tuple[int, str]:
    return -len(form), form


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield secret.replace("$", "$$")  # in the variables of a Job
    yield secret.replace("\n", " ")
    yield " ".join(secret.split())
    for ascii_only in (True, False):
        quoted = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield quoted
        yield quoted.translate(_ESCAPED_BY_GO)


def _without_cut_end(text: str, forms: Iterable[str]) -> str:
    kept = text.rstrip("….")
    for form in forms:
        for length in range(min(len(form), len(kept)), SHORTEST - 1, -1):
            if kept.endswith(form[:length]):
                return kept[:-length] + BLANK
    return text
