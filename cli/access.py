"""What a command works with: the API server, Redis and DataStorage, each connected to when it is first asked.

Settings are the executor's own (WFE_CONFIG, WFE_…). Where none say where Redis and DataStorage are, and the cluster
is that of a running local stack, the stack's are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from cli.errors import CommandError, UsageError
from cli.kubeconfigs import Kubeconfig, choose
from cli.local.record import places_of
from cli.options import Chosen
from models.execution import Execution, read_execution
from models.keys import Key
from models.names import GROUP, PLURAL
from models.policy import Policy
from models.settings import RedisSettings, Settings
from tasks import config
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster, Document
from tasks.adapters.cluster_errors import ResourceAbsent
from tasks.adapters.datastorage import AuditClient
from tasks.redis_scripts.connection import Client, connect
from tasks.redis_scripts.hold import Holds
from tasks.redis_scripts.outbox import Outbox
from tasks.redis_scripts.queue import WorkQueue

REDIS_PATIENCE = timedelta(seconds=3)
"""A person waits less long than a worker does."""

_NAMES_OF_KIND = ("wfe", "workflowexecution", "workflowexecutions", f"{PLURAL}.{GROUP}")


@dataclass(frozen=True)
class Access:
    """Connections of one call of the command."""

    chosen: Chosen
    settings: Settings
    found: Kubeconfig | UsageError
    """The kubeconfig, or why there is none: what only DataStorage or Redis is asked for needs none."""

    @property
    def kubeconfig(self) -> Kubeconfig:
        """Raises UsageError when there is none."""
        if isinstance(self.found, UsageError):
            raise self.found
        return self.found

    @property
    def namespace(self) -> str:
        """The namespace that is meant; empty for all."""
        return "" if self.chosen.everywhere else self.chosen.namespace or self.kubeconfig.namespace

    def everywhere(self) -> Access:
        """Return the same for all namespaces."""
        return replace(self, chosen=replace(self.chosen, everywhere=True))

    @cached_property
    def cluster(self) -> Cluster:
        return Cluster.connect(self.kubeconfig.paths, self.kubeconfig.context, self.settings.kubernetes.request_timeout)

    @cached_property
    def redis(self) -> Client:
        return connect(self.settings.redis)

    @cached_property
    def holds(self) -> Holds:
        return Holds(self.redis, self.settings.redis.prefix)

    @cached_property
    def queue(self) -> WorkQueue:
        return WorkQueue(self.redis, self.settings.redis.prefix, horizon=self.settings.celery.horizon)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.redis, self.settings.redis.prefix)

    @cached_property
    def audit(self) -> AuditClient:
        audit = self.settings.audit
        return AuditClient(audit.datastorage_url, audit.timeout, audit.reading_token_file, audit.ca_file)

    @cached_property
    def policy(self) -> Policy:
        from tasks.parts import policy_of  # brings Celery along

        return policy_of(self.settings)

    def names_execution(self, text: str) -> bool:
        """Say whether a text is NAME or wfe/NAME, not a target."""
        kind, slash, _ = text.partition("/")
        return not slash or kind.lower() in _NAMES_OF_KIND

    def key(self, name: str) -> Key:
        """Read NAME or wfe/NAME. Raises CommandError."""
        kind, slash, rest = name.partition("/")
        plain = rest if slash and kind.lower() in _NAMES_OF_KIND else name
        if not plain or "/" in plain:
            raise CommandError(f"{name}: allowed is NAME or wfe/NAME; the namespace goes into -n")
        return Key(self.namespace or self.kubeconfig.namespace, plain)

    def document(self, key: Key) -> Document:
        """Return an execution as the API server has it. Raises CommandError when there is none."""
        try:
            found = self.cluster.get(paths.execution(key))
        except ResourceAbsent as absent:
            raise CommandError(_NO_CRD) from absent
        if found is None:
            raise CommandError(f'{PLURAL}.{GROUP} "{key.name}" not found in namespace {key.namespace}')
        return found

    def execution(self, key: Key) -> Execution:
        """Return an execution. Raises CommandError when there is none."""
        return read_execution(self.document(key))

    def find(self, key: Key) -> Execution | None:
        """Return an execution, None when there is none."""
        found = self.cluster.get(paths.execution(key))
        return None if found is None else read_execution(found)

    def documents(self, selector: str = "") -> Iterator[Document]:
        """Yield the executions of the meant namespace. Raises CommandError where the CRD is missing."""
        try:
            yield from self.cluster.list(paths.executions(self.namespace), label_selector=selector)
        except ResourceAbsent as absent:
            raise CommandError(_NO_CRD) from absent


_NO_CRD = (
    "the server does not know WorkflowExecution: install it with `kubectl apply --server-side -k deploy/` "
    "(or start everything with `wfe local up`)"
)


def open_access(chosen: Chosen) -> Access:
    """Find out where everything is; connects to nothing yet. Raises UsageError, Misconfigured.

    Where the settings say where Redis or DataStorage is, a missing kubeconfig is an error only for who needs the
    cluster, unless it, or a context, was asked for.
    """
    settings = config.load()
    try:
        kubeconfig = _chosen(chosen, settings)
    except UsageError as missing:
        if chosen.kubeconfig or chosen.context or not _says_where(settings):
            raise
        return Access(chosen, replace(settings, redis=_impatient(settings.redis)), missing)
    if kubeconfig.stack is not None and not _says_where(settings):
        settings = config.load(_settings_of(kubeconfig), environ={})
    return Access(chosen, replace(settings, redis=_impatient(settings.redis)), kubeconfig)


def settings_in_force(chosen: Chosen, file: str = "") -> tuple[Settings, str]:
    """Return the settings as they were given, and the file they are from where that is a local stack's.

    Raises Misconfigured, UsageError. Needs no cluster.
    """
    settings = config.load(file or None)
    if file or _says_where(settings):
        return settings, file
    try:
        kubeconfig = _chosen(chosen, settings)
    except UsageError:
        return settings, ""
    stacks = _settings_of(kubeconfig)
    return (config.load(stacks, environ={}), stacks) if stacks else (settings, "")


def _chosen(chosen: Chosen, settings: Settings) -> Kubeconfig:
    kubernetes = settings.kubernetes
    return choose(chosen.kubeconfig or kubernetes.kubeconfig, chosen.context or kubernetes.context)


def _settings_of(kubeconfig: Kubeconfig) -> str:
    """Return the settings file of the local stack that belongs to a kubeconfig, empty when none does."""
    return "" if kubeconfig.stack is None else str(places_of(kubeconfig.stack.request.name).settings)


def _says_where(settings: Settings) -> bool:
    return any(name in settings.sources for name in ("redis.url", "audit.datastorage_url"))


def _impatient(redis: RedisSettings) -> RedisSettings:
    return replace(redis, socket_timeout=min(redis.socket_timeout, REDIS_PATIENCE))


def as_json(document: Any) -> Any:
    """Return an object as kubectl prints it: without managedFields."""
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    return {**document, "metadata": metadata}
