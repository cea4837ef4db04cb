"""The key of an execution: the only thing that travels through Celery and Redis."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Namespace and name of one execution; `ns/name` on the wire."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read `ns/name`. Raises ValueError when the text has another form."""
        namespace, slash, name = text.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise ValueError(f"not a key of the form namespace/name: {text!r}")
        return cls(namespace, name)
