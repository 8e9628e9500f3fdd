"""What a decision is made on, read from the API server at that moment; no cache is trusted."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import FlowRun
from flow_operator.core import names
from flow_operator.core.runs import RunView
from flow_operator.core.runstate import current_attempt, is_finished, is_started
from flow_operator.shell.cluster import EVENTS, FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, Cluster
from flow_operator.shell.keys import Key

logger = logging.getLogger(__name__)

_POD_IS_LATE = timedelta(seconds=5)

RUNS_OF_DEPLOYMENT = "spec.deploymentRef.name"
"""The field of a FlowRun that the CRD makes selectable."""


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """All that a decision about a deployment depends on.

    Attributes:
        raw: The FlowDeployment.
        runs: The FlowRuns that name it.
    """

    raw: dict[str, Any]
    runs: list[FlowRun]


async def observe_deployment(cluster: Cluster, key: Key) -> DeploymentView | None:
    """Return a deployment and its runs, in two reads; None when it is gone, after one."""
    raw = await cluster.find(FLOW_DEPLOYMENTS, key.namespace, key.name)
    if raw is None:
        return None
    manifests = await cluster.list(
        FLOW_RUNS, key.namespace, fields=f"{RUNS_OF_DEPLOYMENT}={key.name}"
    )
    return DeploymentView(raw, [run for item in manifests if (run := _parse(item))])


async def observe_run(cluster: Cluster, key: Key) -> RunView | None:
    """Return a run and what it stands on; None when it is gone.

    Reads: one of a run that has ended; two of one that is new (its deployment), or that has no
    Job yet; three of one that has (the Job and its Pods), and one more while the Job has no Pod
    though it should (the Events that say why).
    """
    raw = await cluster.find(FLOW_RUNS, key.namespace, key.name)
    if raw is None:
        return None
    run = _parse(raw)
    if run is None or is_finished(run) or run.metadata.deletion_timestamp:
        return RunView(raw)
    if not is_started(run):  # no Job is made before the snapshot is written and the run let go
        name = run.spec.deployment_ref.name
        return RunView(raw, await cluster.find(FLOW_DEPLOYMENTS, key.namespace, name))
    attempt = current_attempt(run)
    job = await cluster.find(
        JOBS, key.namespace, names.job_name(key.name, run.metadata.uid, attempt)
    )
    if job is None or controller_uid(job) != run.metadata.uid:
        return RunView(raw)
    labels = f"{names.LABEL_RUN_UID}={run.metadata.uid},{names.LABEL_ATTEMPT}={attempt}"
    pods = await cluster.list(PODS, key.namespace, labels=labels)
    uid = job["metadata"]["uid"]
    pods = [pod for pod in pods if controller_uid(pod) == uid]
    events: list[dict[str, Any]] = []
    if not pods and _should_have_a_pod(job):
        fields = f"involvedObject.uid={uid},reason=FailedCreate"
        events = await cluster.list(EVENTS, key.namespace, fields=fields)
    return RunView(raw, job=job, pods=pods, events=events)


def _should_have_a_pod(job: dict[str, Any]) -> bool:
    """Tell whether a Job is old enough for its lack of a Pod to be a problem."""
    if job["spec"].get("suspend") or (job.get("status") or {}).get("conditions"):
        return False
    created = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    return datetime.now(UTC) - created > _POD_IS_LATE


def controller_uid(manifest: dict[str, Any]) -> str | None:
    """Return the UID of the object that controls this one."""
    for owner in manifest["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return str(owner.get("uid"))
    return None


def _parse(manifest: dict[str, Any]) -> FlowRun | None:
    """Return the run, or None when it was stored under a schema that this release cannot read."""
    try:
        return FlowRun.model_validate(manifest)
    except ValidationError:
        logger.debug("FlowRun %s cannot be read", manifest["metadata"]["name"])
        return None
