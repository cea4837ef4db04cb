"""Settings: each default as the contract says, each wrong value refused in one line, no secret ever shown."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import Misconfigured
from models.execution import ConcurrencyPolicy
from models.settings import Address, Secret, Settings, effective, known_keys, parse_settings

CONTRACT_DEFAULTS = {
    "execution.namespace": "kubernaut-workflows",
    "execution.service_account": "kubernaut-workflow-runner",
    "execution.cooldown_period": "5m0s",
    "execution.default_timeout": "30m0s",
    "execution.cancel_timeout": "1m0s",
    "execution.concurrency_policy": "Wait",
    "execution.block_after_execution_failure": "true",
    "backoff.base_cooldown": "30s",
    "backoff.max_cooldown": "15m0s",
    "backoff.multiplier": "2",
    "backoff.jitter": "0.1",
    "backoff.max_consecutive_failures": "5",
    "audit.datastorage_url": "http://datastorage-service:8080",
    "audit.timeout": "10s",
    "audit.batch_size": "500",
    "audit.flush_interval": "1s",
    "controller.metrics_addr": ":9090",
    "controller.health_probe_addr": ":8081",
    "controller.leader_election": "true",
}


SECRETS = ("redis.username", "redis.password")


def document(name: str, value: object) -> dict[str, dict[str, object]]:
    group, _, key = name.partition(".")
    return {group: {key: value}}


def refused(given: object = None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(Misconfigured) as refusal:
        parse_settings(given, environ or {}, {})
    line = str(refusal.value)
    assert "\n" not in line
    assert len(line) < 400
    return line


def test_defaults_are_the_contracts() -> None:
    shown = {row.key: (row.value, row.source) for row in effective(parse_settings(None, {}, {}))}
    assert {key: shown[key] for key in CONTRACT_DEFAULTS} == {
        key: (value, "default") for key, value in CONTRACT_DEFAULTS.items()
    }


def test_the_defaults_of_the_classes_are_those_of_an_empty_file() -> None:
    assert parse_settings({}, {}, {}) == Settings()
    assert parse_settings({"execution": None}, {}, {}) == Settings()


def test_environment_wins_over_file_over_default() -> None:
    given = {"execution": {"cooldown_period": "10s", "default_timeout": "1h"}}
    settings = parse_settings(given, {"WFE_EXECUTION_COOLDOWN_PERIOD": "20s"}, {})
    assert settings.execution.cooldown_period == timedelta(seconds=20)
    assert settings.execution.default_timeout == timedelta(hours=1)
    sources = {row.key: row.source for row in effective(settings)}
    assert sources["execution.cooldown_period"] == "environment WFE_EXECUTION_COOLDOWN_PERIOD"
    assert sources["execution.default_timeout"] == "file"
    assert sources["execution.cancel_timeout"] == "default"


@pytest.mark.parametrize("key", [key for key in known_keys() if key.name not in SECRETS], ids=lambda key: key.name)
def test_every_shown_default_reads_back_from_file_and_environment(key: Any) -> None:
    assert parse_settings(document(key.name, key.default), {}, {}) == Settings()
    assert parse_settings(None, {key.variable: key.default}, {}) == Settings()
    assert key.why.endswith(".")
    assert key.allowed


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("execution.cooldown_period", "0s", timedelta(0)),
        ("execution.cooldown_period", 0, timedelta(0)),
        ("execution.concurrency_policy", "Skip", ConcurrencyPolicy.SKIP),
        ("execution.block_after_execution_failure", False, False),
        ("execution.block_after_execution_failure", "FALSE", False),
        ("backoff.base_cooldown", "250ms", timedelta(milliseconds=250)),
        ("backoff.jitter", 0, 0.0),
        ("backoff.multiplier", "1.5", 1.5),
        ("backoff.max_consecutive_failures", "1", 1),
        ("controller.metrics_addr", "127.0.0.1:0", Address("127.0.0.1", 0)),
        ("controller.metrics_addr", "[::1]:9090", Address("::1", 9090)),
        ("redis.url", "rediss://redis.example:6380/3?ssl_cert_reqs=required", None),
    ],
)
def test_takes(name: str, value: object, read: object) -> None:
    group, _, key = name.partition(".")
    settings = parse_settings(document(name, value), {}, {})
    assert getattr(getattr(settings, group), key) == (value if read is None else read)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("execution.cooldown_period", "5", "90s"),
        ("execution.cooldown_period", 300, "90s"),
        ("execution.cooldown_period", "-1s", "from 0s"),
        ("execution.default_timeout", "0s", "from 1s"),
        ("execution.default_timeout", True, "duration"),
        ("execution.default_timeout", None, "duration"),
        ("execution.default_timeout", ["1h"], "duration"),
        ("execution.namespace", "Not_A_Label", "DNS label"),
        ("execution.namespace", "a" * 64, "63 characters"),
        ("execution.namespace", "default\n", "DNS label"),
        ("execution.concurrency_policy", "wait", "one of Wait, Skip, Fail"),
        ("execution.concurrency_policy", None, "one of Wait, Skip, Fail"),
        ("execution.block_after_execution_failure", "yes", "true or false"),
        ("execution.block_after_execution_failure", 1, "true or false"),
        ("backoff.jitter", 0.6, "from 0 to 0.5"),
        ("backoff.jitter", "nan", "from 0 to 0.5"),
        ("backoff.multiplier", 0.5, "from 1 to 10"),
        ("backoff.max_consecutive_failures", 0, "from 1 to 30"),
        ("backoff.max_consecutive_failures", 2.5, "whole number"),
        ("audit.batch_size", 501, "from 1 to 500"),
        ("audit.datastorage_url", "datastorage:8080", "http://host"),
        ("audit.datastorage_url", "ftp://datastorage", "http://host"),
        ("audit.datastorage_url", "http://datastorage:port", "http://host"),
        ("controller.metrics_addr", "9090", ":9090"),
        ("controller.metrics_addr", ":99999", ":9090"),
        ("redis.prefix", "with space", "a-z"),
        ("celery.concurrency", "many", "from 1 to 256"),
    ],
)
def test_refuses_naming_key_value_and_what_is_allowed(name: str, value: object, allowed: str) -> None:
    line = refused(document(name, value))
    assert line.startswith(f"{name}=")
    assert allowed in line
    assert str(value)[:20].rstrip("\n") in line


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ({"execution": {"cooldown": "5m"}}, {}, "did you mean execution.cooldown_period?"),
        ({"exection": {}}, {}, "did you mean execution?"),
        ({"logging": {}}, {}, "known are execution"),
        ({"execution": "fast"}, {}, "allowed is a group of keys"),
        (["execution"], {}, "groups of keys"),
        ({}, {"WFE_EXECUTION_COOLDOWN": "5m"}, "did you mean WFE_EXECUTION_COOLDOWN_PERIOD?"),
        ({}, {"WFE_EXECUTON_COOLDOWN_PERIOD": "5m"}, "did you mean WFE_EXECUTION_COOLDOWN_PERIOD?"),
        ({}, {"WFE_REDIS_COLOUR": "red"}, "unknown key"),
    ],
)
def test_refuses_what_it_does_not_know(given: object, environ: dict[str, str], expected: str) -> None:
    assert expected in refused(given, environ)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"backoff": {"base_cooldown": "20m"}}, "backoff.max_cooldown=15m0s"),
        ({"celery": {"visibility_timeout": "3m6s"}}, "celery.visibility_timeout=3m6s"),
        ({"celery": {"longest_task": "10m"}}, "celery.visibility_timeout=10m0s"),
        ({"controller": {"metrics_addr": ":8081"}}, "controller.health_probe_addr=:8081"),
    ],
)
def test_refuses_values_that_contradict_each_other(given: object, key: str) -> None:
    assert refused(given).startswith(f"{key}: allowed is ")


def test_two_free_ports_do_not_contradict() -> None:
    parse_settings({"controller": {"metrics_addr": ":0", "health_probe_addr": ":0"}}, {}, {})


def test_variables_that_are_not_settings_are_left_alone() -> None:
    environ = {
        "WFE_CONFIG": "/etc/wfe.yaml",
        "WFE_CACHE_DIR": "/cache",
        "WFE_REDIS_SERVICE_HOST": "10.0.0.1",
        "WFE_REDIS_SERVICE_PORT": "6379",
        "WFE_REDIS_PORT": "tcp://10.0.0.1:6379",
        "WFE_REDIS_PORT_6379_TCP_ADDR": "10.0.0.1",
        "HOME": "/nowhere",
    }
    assert parse_settings(None, environ, {}) == Settings()


def test_kubeconfig_of_the_environment_counts_outside_a_cluster_only() -> None:
    outside = parse_settings(None, {"KUBECONFIG": "/a"}, {})
    inside = parse_settings(None, {"KUBECONFIG": "/a", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {})
    own = parse_settings({"kubernetes": {"kubeconfig": "/b"}}, {"KUBECONFIG": "/a"}, {})
    assert outside.kubernetes.kubeconfig == "/a"
    assert inside.kubernetes.kubeconfig == ""
    assert own.kubernetes.kubeconfig == "/b"


def test_secrets_never_show() -> None:
    settings = parse_settings(None, {}, {"redis.username": "us/er", "redis.password": "hunter2@:/"})
    assert settings.redis.password.reveal() == "hunter2@:/"
    assert settings.redis.connection_url() == "redis://us%2Fer:hunter2%40%3A%2F@127.0.0.1:6379/0"
    shown = [repr(settings), str(settings), f"{settings.redis.password}", *(row.value for row in effective(settings))]
    assert not any("hunter2" in text or "us/er" in text for text in shown)
    assert ("redis.password", "***", "secret file") in [(row.key, row.value, row.source) for row in effective(settings)]


@pytest.mark.parametrize(
    ("given", "environ"),
    [
        ({"redis": {"password": "hunter2"}}, {}),
        ({}, {"WFE_REDIS_PASSWORD": "hunter2"}),
        ({}, {"WFE_REDIS_PASSWD": "hunter2"}),
        ({"redis": {"url": "redis://:hunter2@redis:6379/0"}}, {}),
        ({"redis": {"url": "redis://redis:6379/0?password=hunter2"}}, {}),
        ({"audit": {"datastorage_url": "https://user:hunter2@datastorage"}}, {}),
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_without_showing_it(given: object, environ: dict[str, str]) -> None:
    assert "hunter2" not in refused(given, environ)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().redis.url = "redis://elsewhere"  # type: ignore[misc]
    assert not Secret()
    assert repr(Secret("x")) == "Secret('***')"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), st.sampled_from(known_keys()))
def test_any_value_is_read_or_refused_in_one_printable_line(value: object, key: Any) -> None:
    try:
        parse_settings(document(key.name, value), {}, {})
    except Misconfigured as refusal:
        line = str(refusal)
        assert line.startswith(f"{key.name}=") or re.match(r"[a-z]+\.[a-z_]+=", line)
        assert line.isprintable()
