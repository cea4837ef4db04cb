"""Play Tekton on a real API server, for tests that need exact control or speed.

PipelineRuns get the statuses that Tekton's controller writes, with its TaskRuns, reasons and order of writes, but no
pod ever runs and no bundle is read. Not here: retries, finally tasks, matrix, results, StoppedRunFinally, labels and
annotations that Tekton adds to a PipelineRun.

What a run does is said by annotations on it (`devcluster.annotations`, prefix ``devcluster.kubernaut.ai/``):

- ``outcome``: success, exit, oom, image-pull, hang, timeout, cancel, bundle-missing, parameter-missing,
  account-missing. Absent: success. ``timeout`` and ``cancel`` end the run as these do, without anybody asking;
  ``hang`` never ends.
- ``duration``: how long a step runs ("50ms"). ``exit-code``, ``message``: of the container.
- ``tasks``: how many pipeline tasks there are, ``task-1``, ``task-2`` …, one after the other.
- ``task``: which of them gets the outcome; the others succeed. Absent: all, so that the first one decides.

A run without an ``outcome`` is directed by the last part of its bundle reference:
``…/outcome-<outcome>[-<exit code>][-<duration>][-tasks-<n>]``, such as ``outcome-success-200ms:v1``,
``outcome-exit-3``, ``outcome-oom``, ``outcome-hang``, ``outcome-success-1s-tasks-3``. Any other name means success.

Honoured as Tekton does: ``spec.status`` Cancelled and CancelledRunFinally, ``spec.timeouts.pipeline``, ``managedBy``
(another controller's runs are left alone). When a run goes, its TaskRuns are deleted here, because a bare API server
collects no garbage.

Run ``python -m devcluster.scripted --kubeconfig FILE``, or `start` it from a test.
"""

from devcluster.scripted.handle import Handle, StartError, start

__all__ = ["Handle", "StartError", "start"]
