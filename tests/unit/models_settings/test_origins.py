"""Every key is shown with its value and where that came from; a secret never."""

from __future__ import annotations

from models.setting_origins import explain
from models.settings import known_keys, parse_settings


def test_every_key_is_shown_once_with_what_it_allows_and_why() -> None:
    rows = explain(parse_settings(None, {}, {}))
    assert [row.key for row in rows] == [key.name for key in known_keys()]
    assert {row.origin for row in rows} == {"default"}
    assert all(row.allowed and row.why and row.value == row.default and not row.changed for row in rows)


def test_each_origin_is_named() -> None:
    given = {"execution": {"cooldown_period": "10s"}, "redis": {"prefix": "one"}}
    environ = {"WFE_REDIS_PREFIX": "two", "KUBECONFIG": "/somewhere/config"}
    rows = {row.key: row for row in explain(parse_settings(given, environ, {"redis.password": "hunter2"}))}
    shown = {key: (row.value, row.origin) for key, row in rows.items() if row.changed}
    assert shown == {
        "execution.cooldown_period": ("10s", "file"),
        "redis.prefix": ("two", "environment WFE_REDIS_PREFIX"),
        "kubernetes.kubeconfig": ("/somewhere/config", "environment KUBECONFIG"),
        "redis.password": ("***", "secret file"),
    }
    assert "hunter2" not in str(rows)


def test_a_value_that_is_given_counts_as_given_though_it_is_the_default() -> None:
    (row,) = (row for row in explain(parse_settings({"audit": {"batch_size": 500}}, {}, {})) if row.changed)
    assert (row.key, row.value, row.origin) == ("audit.batch_size", "500", "file")
