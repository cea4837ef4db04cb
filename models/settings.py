"""Read the settings: a parsed file, the environment and the secrets in; `Settings` or one clear line out.

Pure: files and variables are fetched by tasks/config.py. Environment over file over default; a variable is
`WFE_<GROUP>_<KEY>`. The keys themselves, with bounds and reasons, are in models/setting_groups.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from models.errors import Misconfigured
from models.setting_groups import (
    GROUPS,
    AuditSettings,
    BackoffSettings,
    CelerySettings,
    ControllerSettings,
    ExecutionSettings,
    KubernetesSettings,
    RedisSettings,
    Settings,
)
from models.setting_kinds import Address, Kind, Secret, SecretKind, show_duration

__all__ = [
    "Address",
    "AuditSettings",
    "BackoffSettings",
    "CelerySettings",
    "ControllerSettings",
    "ExecutionSettings",
    "KnownKey",
    "KubernetesSettings",
    "RedisSettings",
    "Row",
    "Secret",
    "Settings",
    "effective",
    "known_keys",
    "parse_settings",
]

# What Kubernetes itself puts into a pod for a Service whose name starts with `wfe-`.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")

_CREDENTIALS = re.compile(r"//[^/]*@|((?:pass|user)[a-z]*=)[^&\s]*")


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One key as documentation shows it."""

    name: str
    variable: str
    default: str
    allowed: str
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """One effective value and where it came from."""

    key: str
    value: str
    source: str


_Given = dict[str, tuple[object, str]]


def _declared() -> Iterator[tuple[str, Any]]:
    for group, shape in GROUPS.items():
        for declared in fields(shape):
            yield f"{group}.{declared.name}", declared


_KINDS: Mapping[str, Kind[Any]] = {name: declared.metadata["kind"] for name, declared in _declared()}
_VARIABLES: Mapping[str, str] = {f"WFE_{name.replace('.', '_').upper()}": name for name in _KINDS}


def parse_settings(document: object, environ: Mapping[str, str], secrets: Mapping[str, str]) -> Settings:
    """Build the settings from a parsed file, an environment and the secrets by key name.

    Raises:
        Misconfigured: one line with the key, its value and what is allowed.
    """
    given = {**_from_kubectl(environ), **_from_document(document), **_from_environment(environ)}
    for name in given:
        if isinstance(_KINDS[name], SecretKind):
            raise Misconfigured(f"{name}=***: allowed only in the file that redis.secret_file names")
    given |= {name: (value, "secret file") for name, value in secrets.items()}
    read: dict[str, dict[str, object]] = {group: {} for group in GROUPS}
    for name, (value, _) in given.items():
        group, _, key = name.partition(".")
        read[group][key] = _read(name, value)
    settings = Settings(
        **{group: shape(**read[group]) for group, shape in GROUPS.items()},
        sources={name: source for name, (_, source) in given.items()},
    )
    _check_together(settings)
    return settings


def effective(settings: Settings) -> tuple[Row, ...]:
    """List every key with its value and its source; a secret is masked."""
    rows = []
    for name in _KINDS:
        group, _, key = name.partition(".")
        value = getattr(getattr(settings, group), key)
        rows.append(Row(name, _show(value), settings.sources.get(name, "default")))
    return tuple(rows)


def known_keys() -> tuple[KnownKey, ...]:
    """List every key with its variable, its default, what it allows and why it exists."""
    variables = {name: variable for variable, name in _VARIABLES.items()}
    return tuple(
        KnownKey(name, variables[name], _show(key.default), key.metadata["kind"].allowed, key.metadata["why"])
        for name, key in _declared()
    )


def _from_document(document: object) -> _Given:
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise Misconfigured(f"configuration file={_cut(document)}: allowed are groups of keys ({', '.join(GROUPS)})")
    given: _Given = {}
    for group, keys in document.items():
        if group not in GROUPS:
            raise Misconfigured(f"{_name(group)}: unknown group{_nearest(str(group), GROUPS)}")
        if keys is None:
            continue
        if not isinstance(keys, Mapping):
            raise Misconfigured(f"{group}={_cut(keys)}: allowed is a group of keys")
        for key, value in keys.items():
            name = f"{group}.{key}"
            if name not in _KINDS:
                raise Misconfigured(f"{_name(name)}={_cut(value)}: unknown key{_nearest(name, _KINDS)}")
            given[name] = (value, "file")
    return given


def _from_kubectl(environ: Mapping[str, str]) -> _Given:
    """Take kubectl's own variable as a weak default, outside a cluster: inside, the pod's own account counts."""
    if not environ.get("KUBECONFIG") or environ.get("KUBERNETES_SERVICE_HOST"):
        return {}
    return {"kubernetes.kubeconfig": (environ["KUBECONFIG"], "environment KUBECONFIG")}


def _from_environment(environ: Mapping[str, str]) -> _Given:
    given: _Given = {}
    for variable, value in environ.items():
        if variable in _VARIABLES:
            given[_VARIABLES[variable]] = (value, f"environment {variable}")
        elif variable.startswith("WFE_") and not _SERVICE_LINK.fullmatch(variable):
            _refuse_if_meant(variable, value)
    return given


def _refuse_if_meant(variable: str, value: str) -> None:
    """Refuse a variable that is in one of our groups or nearly one of ours; others (WFE_CONFIG …) are not settings."""
    ours = any(variable.startswith(f"WFE_{group.upper()}_") for group in GROUPS)
    if ours or get_close_matches(variable, _VARIABLES, n=1, cutoff=0.8):
        shown = "***" if "PASS" in variable or "SECRET" in variable else _cut(value)
        raise Misconfigured(f"{_name(variable)}={shown}: unknown key{_nearest(variable, _VARIABLES)}")


def _read(name: str, value: object) -> object:
    try:
        return _KINDS[name].read(value)
    except (ValueError, TypeError, OverflowError):
        # The cause is not chained: it may quote a value that must not be shown.
        raise Misconfigured(f"{name}={_masked(name, value)}: allowed is {_KINDS[name].allowed}") from None


def _check_together(settings: Settings) -> None:
    """Check what one key alone cannot say."""
    celery, backoff = settings.celery, settings.backoff
    needed = celery.horizon + celery.claim + celery.longest_task
    controller = settings.controller
    wrong = {
        "backoff.max_cooldown": (
            backoff.max_cooldown < backoff.base_cooldown,
            f"at least backoff.base_cooldown ({show_duration(backoff.base_cooldown)})",
        ),
        "celery.visibility_timeout": (
            celery.visibility_timeout <= needed,
            f"more than celery.horizon + celery.claim + celery.longest_task ({show_duration(needed)})",
        ),
        "controller.health_probe_addr": (
            controller.health_probe_addr.port != 0 and controller.health_probe_addr == controller.metrics_addr,
            f"another address than controller.metrics_addr ({controller.metrics_addr})",
        ),
    }
    values = {row.key: row.value for row in effective(settings)}
    for name, (is_wrong, allowed) in wrong.items():
        if is_wrong:
            raise Misconfigured(f"{name}={values[name]}: allowed is {allowed}")


def _show(value: object) -> str:
    match value:
        case timedelta():
            return show_duration(value)
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f", did you mean {near[0]}?" if near else f"; known are {', '.join(GROUPS)}"


def _masked(name: str, value: object) -> str:
    """Show a value in an error line, without what may be a password in it."""
    if isinstance(_KINDS[name], SecretKind):
        return "***"
    return _CREDENTIALS.sub(lambda found: f"{found[1]}***" if found[1] else "//***@", _cut(value))


def _cut(value: object, limit: int = 80) -> str:
    """Return the value in one line and bounded length."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # a number of more digits than Python writes
        text = "a number of thousands of digits"
    text = "".join(letter if letter.isprintable() else "�" for letter in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _name(name: object) -> str:
    return _cut(name)
