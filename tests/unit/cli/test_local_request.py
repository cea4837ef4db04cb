"""What a local stack is asked to be: wrong requests stop before anything starts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cli.errors import UsageError
from cli.local.parts import Addresses, Ingredients, all_parts, port_names
from cli.local.places import Places, fits_socket
from cli.local.request import StackRequest, Tekton, check, parse_pairs, read_settings, settings_document
from cli.local.samples import SAMPLES, apply_command
from cli.local.supervisor import configuration, count_restarts


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (StackRequest(name="No Name"), "--name No Name"),
        (StackRequest(workers=0), "--workers 0"),
        (StackRequest(ports={"beat": 1}), "--port beat=1"),
        (StackRequest(ports={"redis": 70000}), "--port redis=70000"),
        (StackRequest(workers=1, ports={"worker-2": 9000}), "--port worker-2=9000"),
        (StackRequest(settings={"execution.cooldown_period": "soon"}), "execution.cooldown_period=soon"),
        (StackRequest(settings={"execution.cooldown": "1s"}), "execution.cooldown=1s"),
        (StackRequest(settings={"cooldown": "1s"}), "--set cooldown=1s"),
        (StackRequest(settings={"redis.url": "redis://elsewhere"}), "--set redis.url"),
    ],
)
def test_a_wrong_request_is_refused_by_name(request_: StackRequest, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        check(request_)


def test_settings_go_into_the_file_as_they_are_read() -> None:
    chosen = {"execution.cooldown_period": "10s", "backoff.max_consecutive_failures": "2"}
    settings = read_settings(settings_document(chosen, {"redis.url": "redis://127.0.0.1:1/0"}))
    assert settings.execution.cooldown_period == timedelta(seconds=10)
    assert settings.backoff.max_consecutive_failures == 2
    assert settings.redis.url == "redis://127.0.0.1:1/0"


def test_pairs() -> None:
    assert parse_pairs("--set", ["a.b=c=d", "e.f="]) == {"a.b": "c=d", "e.f": ""}
    with pytest.raises(UsageError, match="--set nothing"):
        parse_pairs("--set", ["nothing"])


@pytest.fixture
def made_of(tmp_path: Path) -> Ingredients:
    places = Places(tmp_path / "100%")
    places.make()
    places.flower_password.write_text("pass%word")
    request = StackRequest(workers=3, tekton=Tekton.SCRIPTED)
    ports = {name: 9000 + number for number, name in enumerate(port_names(request))}
    return Ingredients(
        request=request, places=places, addresses=Addresses(ports), redis_server="redis-server", kubeconfig="/kube"
    )


def test_every_part_is_there_and_workers_have_metrics_of_their_own(made_of: Ingredients) -> None:
    parts = {part.name: part for part in all_parts(made_of)}
    workers = ["worker-1", "worker-2", "worker-3"]
    assert sorted(parts) == sorted(["redis", "datastorage", "tekton", "watcher", *workers, "beat", "flower"])
    assert len({parts[name].environment["WFE_CONTROLLER_METRICS_ADDR"] for name in workers}) == 3


def test_no_secret_is_on_a_command_line_and_percent_signs_survive(made_of: Ingredients) -> None:
    parts = all_parts(made_of)
    assert not [part for part in parts if "pass%word" in " ".join(part.command)]
    text = configuration(made_of.places, made_of.places.root / "socket", parts)
    assert "pass%%word" in text
    assert "100%%" in text
    assert "%" not in text.replace("%%", "")


def test_a_socket_path_has_a_limit() -> None:
    assert fits_socket(Path("/short"))
    assert not fits_socket(Path("/" + "x" * 120))


def test_a_sample_is_applied_as_it_is_where_the_registry_is_the_one_it_names() -> None:
    assert apply_command("127.0.0.1:5000", "restart") == "kubectl apply -f docs/samples/restart.yaml"
    assert "s|127.0.0.1:5000|127.0.0.1:2|" in apply_command("127.0.0.1:2", "restart")
    assert "127.0.0.1:5000/" in (SAMPLES / "restart.yaml").read_text()


def test_restarts_are_counted_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    assert count_restarts(log) == {}
    log.write_text("x INFO spawned: 'a' with pid 1\nx INFO spawned: 'b' with pid 2\nx INFO spawned: 'a' with pid 3\n")
    assert count_restarts(log) == {"a": 1, "b": 0}
