"""Why an attempt failed before any task ran, and what cures that. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from cli.explanation import Explanation, World, span_words
from models.execution import Execution
from models.instants import format_instant
from models.status import ConditionType

# Tekton's reasons (pipelinerun_types.go) and the kubelet's words, as they stand in a run's message.
_BUNDLE: Final = re.compile(r"CouldntGetPipeline|[Ee]rror requesting remote resource|\bbundle\b|resolution request")
_PULL: Final = re.compile(r"ErrImagePull|ImagePull(BackOff|Failed)|InvalidImageName|failed to pull|[Bb]ack-off pulling")
_SCHEDULE: Final = re.compile(r"Unschedulable|nodes are available|ExceededNodeResources|ExceededResourceQuota")
_ACCOUNT: Final = re.compile(r"serviceaccounts? .*not found|[Ss]ervice ?[Aa]ccount .*(not found|does not exist)")


def backing_off(execution: Execution, due: datetime, world: World) -> Explanation:
    """Explain a wait for the next attempt."""
    status = execution.status
    created = status.condition(ConditionType.CREATED)
    refused = created is not None and created.status is False
    condition = created if refused else status.condition(ConditionType.RUNNING)
    cause = condition.message if condition is not None else "no cause recorded"
    # The recorded message begins with what this sentence says already.
    cause = cause.partition(f"next not before {format_instant(due)}: ")[2] or cause
    what = "the API server refused its run" if refused else "its run failed before any task ran"
    if world.now < due:
        when = f"the next attempt is at {format_instant(due)} (in {span_words(due - world.now)})"
    else:
        when = "the next attempt is due now"
    reason = condition.reason if condition is not None else ""
    kind = f"{reason}, " if reason else ""
    return Explanation(f"attempt {status.attempt}: {what} ({kind}{cause}); {when}", cure(execution, reason, cause))


def cure(execution: Execution, reason: str, text: str) -> str:
    """Say what a person can do about a failure before any task ran; the retry comes by itself."""
    again = "it is retried by itself"
    if reason == "QuotaExceeded" or "exceeded quota" in text:
        return f"make room in the quota of the namespace of the runs; {again}"
    if reason == "RBACDenied":
        return f"give the executor the right (deploy/rbac.yaml); {again}"
    if _ACCOUNT.search(text):
        return f"create the account of the runs (execution.service_account); {again}"
    if _PULL.search(text):
        return f"an image of the pipeline cannot be pulled: check its name, and the pull secret of the account; {again}"
    if _BUNDLE.search(text):
        bundle = execution.spec.image
        return f"push the bundle {bundle}, with a Pipeline called workflow, where the cluster can read it; {again}"
    if _SCHEDULE.search(text):
        return f"no node takes its pod: make room or correct its requests; {again}"
    return f"remove the cause; {again}, no new execution is needed"


def stuck(text: str) -> str:
    """Say what a pod that has not started waits for, empty when that cannot be told from Tekton's words."""
    if _PULL.search(text):
        return "an image cannot be pulled"
    if _SCHEDULE.search(text):
        return "no node takes its pod"
    return ""
