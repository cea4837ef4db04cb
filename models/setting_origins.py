"""The effective settings as rows for a person: each value, its origin, what is allowed, and why there is such a key.

Pure; secrets are masked, so every row may be printed.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.settings import Settings, effective, known_keys


@dataclass(frozen=True, slots=True)
class Explained:
    """One key as it is in force; `origin` is `default`, `file`, `secret file`, or `environment` and the variable."""

    key: str
    value: str
    origin: str
    variable: str
    default: str
    allowed: str
    why: str

    @property
    def changed(self) -> bool:
        """Whether somebody gave the value, be it the default's own."""
        return self.origin != "default"


def explain(settings: Settings) -> tuple[Explained, ...]:
    """List every key in the order of its declaration; `allowed` says the unit and the bounds."""
    rows = {row.key: row for row in effective(settings)}
    return tuple(
        Explained(
            key=known.name,
            value=rows[known.name].value,
            origin=rows[known.name].source,
            variable=known.variable,
            default=known.default,
            allowed=known.allowed,
            why=known.why,
        )
        for known in known_keys()
    )
