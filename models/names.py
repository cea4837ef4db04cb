"""Names that the outside sees: group, finalizer, labels, annotations, and how a text becomes a label value."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

GROUP = "kubernaut.ai"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "WorkflowExecution"
PLURAL = "workflowexecutions"
COMPONENT = "workflowexecution-controller"
"""Who we are: the source of our Kubernetes Events, and the manager of the fields that we write."""
FINALIZER = f"workflowexecution.{GROUP}/workflowexecution-cleanup"

LABEL_EXECUTION = f"{GROUP}/workflow-execution"
LABEL_WORKFLOW_ID = f"{GROUP}/workflow-id"
LABEL_SOURCE_NAMESPACE = f"{GROUP}/source-namespace"
LABEL_TARGET = f"{GROUP}/target-resource"
LABEL_CORRELATION_ID = f"{GROUP}/correlation-id"

ANNOTATION_TARGET = f"{GROUP}/target-resource"
ANNOTATION_UID = f"{GROUP}/execution-uid"
ANNOTATION_ATTEMPT = f"{GROUP}/attempt"
ANNOTATION_FENCE = f"{GROUP}/lock-fence"
ANNOTATION_STOPPED = f"{GROUP}/stopped"
"""On a Job that we suspended: why, as "<reason>: <message>"; a suspended Job says nothing of it itself."""

ASK_CANCEL = f"{GROUP}/cancel"
ASK_CLEAR = f"{GROUP}/clear-execution-block"
ASK_UNLOCK = f"{GROUP}/unlock"
REQUESTED_BY = f"{GROUP}/requested-by"
"""Annotations by which a person asks something of an execution; the value of each ask is the reason."""

_LABEL_MAX = 63
_LABEL_HEAD = 54
_INVALID = re.compile(r"[^A-Za-z0-9_.-]")


def label_value(text: str) -> str:
    """Make any text a valid label value: `/` becomes `__`, other foreign characters `_`, a long one ends in its digest.

    The rule for valid values is Kubernetes' own (at most 63 of `[A-Za-z0-9_.-]`, alphanumeric at both ends).
    """
    valid = _INVALID.sub("_", text.replace("/", "__")).strip("_.-")
    if len(valid) <= _LABEL_MAX:
        return valid
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{valid[:_LABEL_HEAD]}-{digest}"


def labels_and_annotations(texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return label values for texts, and annotations of the same keys where a value no longer is its text."""
    labels = {key: label_value(text) for key, text in texts.items()}
    annotations = {key: text for key, text in texts.items() if labels[key] != text}
    return labels, annotations


def named_text(labels: Mapping[str, str], annotations: Mapping[str, str], key: str) -> str:
    """Return the full text behind a label of ours: its annotation where the label had to be changed."""
    return annotations.get(key) or labels.get(key, "")
