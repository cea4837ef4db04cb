"""The parts of a local stack: how each is started and how one sees that it is ready. Declares only, starts nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cli.local.places import LOOPBACK, Places
from cli.local.request import StackRequest, Tekton

FLOWER_USER: Final = "wfe"
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process. `url` answers 200 and `line` stands in the log when it is ready; both may be empty.

    `nice` is for parts nobody waits for: on one machine they would take their turns from the executor.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    line: str = ""
    redis_port: int = 0
    nice: int = 0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything listens."""

    ports: Mapping[str, int]

    def url(self, name: str, path: str = "") -> str:
        return f"http://{self.address(name)}{path}"

    def address(self, name: str) -> str:
        return f"{LOOPBACK}:{self.ports[name]}"

    @property
    def redis_url(self) -> str:
        return f"redis://{self.address('redis')}/0"

    @property
    def datastorage_url(self) -> str:
        return self.url("datastorage")


def port_names(request: StackRequest) -> tuple[str, ...]:
    """Name what needs a port: every part that listens, and the watcher's probes."""
    return ("redis", "datastorage", "watcher", "watcher-health", *request.worker_names, "flower")


STORAGE: Final = ("redis", "datastorage")
"""The parts that need no cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What the commands of a stack's parts are made of; `kubeconfig` is the scripted Tekton's login."""

    request: StackRequest
    places: Places
    addresses: Addresses
    redis_server: str
    kubeconfig: str


def all_parts(made_of: Ingredients) -> tuple[Part, ...]:
    """Return every part of a stack, in the order in which a person thinks of them."""
    places, addresses, request = made_of.places, made_of.addresses, made_of.request
    settings = {"WFE_CONFIG": str(places.settings)}
    scripted = (_scripted_tekton(made_of.kubeconfig),) if request.tekton is Tekton.SCRIPTED else ()
    return (
        _redis(places, addresses, made_of.redis_server),
        _datastorage(places, addresses),
        *scripted,
        _watcher(addresses, settings),
        *(_worker(name, addresses, settings) for name in request.worker_names),
        _beat(settings),
        _flower(addresses, settings, places.flower_password.read_text().strip()),
    )


def migration(places: Places) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the command and variables that bring the database to its schema."""
    return _python("datastorage", "migrate"), _database(places)


def _redis(places: Places, addresses: Addresses, executable: str) -> Part:
    port = addresses.ports["redis"]
    options = {"port": str(port), "bind": LOOPBACK, "save": "", "appendonly": "no", "dir": str(places.storage)}
    words = tuple(word for name, value in options.items() for word in (f"--{name}", value))
    return Part(name="redis", command=(executable, *words), redis_port=port)


def _datastorage(places: Places, addresses: Addresses) -> Part:
    command = _python("datastorage", "serve", "--host", LOOPBACK, "--port", str(addresses.ports["datastorage"]))
    url = addresses.url("datastorage", "/health/ready")
    proof = {
        "DATASTORAGE_SERVER_TOKEN_FILE": str(places.tokens),
        "DATASTORAGE_CHECKPOINT_KEY_FILE": str(places.audit_key),
        "DATASTORAGE_CHECKPOINT_ANCHOR_FILE": str(places.anchor),
    }
    return Part(name="datastorage", command=command, environment={**_database(places), **proof}, url=url, nice=5)


def _database(places: Places) -> dict[str, str]:
    return {"DATASTORAGE_DATABASE_URL": f"sqlite:///{places.storage / 'audit.db'}"}


def _watcher(addresses: Addresses, settings: Mapping[str, str]) -> Part:
    listening = {
        "WFE_CONTROLLER_METRICS_ADDR": addresses.address("watcher"),
        "WFE_CONTROLLER_HEALTH_PROBE_ADDR": addresses.address("watcher-health"),
    }
    return Part(
        name="watcher",
        command=_python("watcher"),
        environment={**settings, **listening},
        url=addresses.url("watcher-health", "/readyz"),
    )


def _worker(name: str, addresses: Addresses, settings: Mapping[str, str]) -> Part:
    options = ("--hostname", f"{name}@local", "--without-gossip", "--without-mingle", "--loglevel", "INFO")
    return Part(
        name=name,
        command=_celery("worker", *options),
        environment={**settings, "WFE_CONTROLLER_METRICS_ADDR": addresses.address(name)},
        url=addresses.url(name, "/metrics"),
        line=f"{name}@local ready.",
    )


def _beat(settings: Mapping[str, str]) -> Part:
    return Part(name="beat", command=_celery("beat", "--loglevel", "INFO"), environment=settings, line="beat: Starting")


def _flower(addresses: Addresses, settings: Mapping[str, str], password: str) -> Part:
    options = (f"--address={LOOPBACK}", f"--port={addresses.ports['flower']}", f"--conf={_HERE / 'flowerconfig.py'}")
    # In the environment, because everybody on the machine can read a command line.
    login = {"FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{password}"}
    return Part(
        name="flower",
        command=_celery("flower", *options),
        environment={**settings, **login},
        url=addresses.url("flower", "/healthcheck"),
        nice=10,
    )


def _scripted_tekton(kubeconfig: str) -> Part:
    return Part(name="tekton", command=_python("devcluster.scripted", "--kubeconfig", kubeconfig))


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _celery(*arguments: str) -> tuple[str, ...]:
    return _python("celery", "-A", "tasks", *arguments)
