"""The snapshot of a run: a deployment's spec merged with what the run says differently."""

import json
from datetime import datetime
from typing import Any

from flow_operator.api.v1alpha1 import FlowDeployment, FlowDeploymentSpec, FlowRun
from flow_operator.core import names
from flow_operator.core.settings import Settings
from flow_operator.core.spechash import POD_FIELDS

LIFE_FIELDS: set[str] = {
    "pending_deadline_seconds",
    "starting_deadline_seconds",
    "active_deadline_seconds",
    "attempt_deadline_seconds",
    "termination_grace_period_seconds",
    "retries",
}
"""The fields of the spec that a run is led by, beside those of its Pods."""

_LONGEST = 128 << 10
"""In bytes; all annotations of an object together may have twice as many."""


def resolve_spec(deployment: FlowDeployment, run: FlowRun, settings: Settings) -> dict[str, Any]:
    """Return what the run will do, whatever happens to its deployment from now on.

    Parameters of the run win over the deployment's by name, at the top level; so do its
    environment variables. Those of a schedule lie in between: the operator writes them into the
    runs that it makes, and a backfill gets them here.
    """
    spec = deployment.spec.model_dump(
        mode="json",
        by_alias=True,
        exclude_unset=True,
        include=POD_FIELDS | LIFE_FIELDS,
    )
    spec["image"] = deployment.spec.image or settings.default_image
    parameters = {
        **(deployment.spec.parameters or {}),
        **_of_schedule(deployment, run),
        **(run.spec.parameters or {}),
    }
    if parameters:
        spec["parameters"] = parameters
    env = {
        variable.name: variable.to_manifest()
        for variable in [*(deployment.spec.env or []), *(run.spec.env or [])]
    }
    if env:
        spec["env"] = list(env.values())
    return spec


def _of_schedule(deployment: FlowDeployment, run: FlowRun) -> dict[str, Any]:
    trigger = run.spec.trigger
    if trigger and trigger.type == "Backfill":
        for schedule in deployment.spec.schedules or []:
            if schedule.name == trigger.schedule:
                return schedule.parameters or {}
    return {}


def resolved(run: FlowRun) -> FlowDeploymentSpec:
    """Return the snapshot that the run was taken up with.

    Raises:
        ValueError: The run has no snapshot yet, or one that this release cannot read.
    """
    if run.status.resolved_spec is None:
        raise ValueError(f"FlowRun {run.metadata.name} has no status.resolvedSpec yet")
    return FlowDeploymentSpec.model_validate(run.status.resolved_spec)


def taken_up(run: FlowRun, snapshot: dict[str, Any], since: datetime) -> FlowRun:
    """Return the run as its status will have it once that is written."""
    start = run.status.start_time or since
    status = run.status.model_copy(update={"resolved_spec": snapshot, "start_time": start})
    return run.model_copy(update={"status": status})


def told(snapshot: dict[str, Any]) -> str | None:
    """Return a snapshot as a Job tells it; None: it is too long for that."""
    text = json.dumps(snapshot, separators=(",", ":"), ensure_ascii=False)
    return text if len(text.encode()) <= _LONGEST else None


def as_told(run: FlowRun, job: dict[str, Any]) -> FlowRun:
    """Return the run as it was taken up by that Job, unless its status has that already.

    Where the Job does not tell, the snapshot is empty: this attempt can go on, none follows it.
    """
    if run.status.resolved_spec is not None:
        return run
    meta = job["metadata"]
    try:
        snapshot = json.loads((meta.get("annotations") or {})[names.ANNOTATION_SNAPSHOT])
    except (KeyError, ValueError):
        snapshot = None
    since = datetime.fromisoformat(meta["creationTimestamp"])
    return taken_up(run, snapshot if isinstance(snapshot, dict) else {}, since)
