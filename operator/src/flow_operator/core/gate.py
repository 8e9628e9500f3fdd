"""Whether a run may go ahead, or waits in phase Queued, and for how long it may wait."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun, Reason
from flow_operator.core.concurrency import limit_of
from flow_operator.core.durations import parse_moment
from flow_operator.core.podstate import Outcome


def held_by_deployment(run: FlowRun, raw: dict[str, Any] | None) -> str | None:
    """Return why the run waits for other runs of its deployment; None: it does not."""
    if raw is None:
        return None
    try:
        deployment = FlowDeployment.model_validate(raw)
    except ValidationError:
        return None
    limit = limit_of(deployment)
    if limit is None:
        return None
    name = run.metadata.name
    if any(entry.name == name for entry in deployment.status.active or []):
        return None
    runs = "another run" if limit == 1 else f"one of {limit} other runs"
    return (
        f"Waiting for {runs} of FlowDeployment {deployment.metadata.name} to end "
        f"(concurrencyPolicy: {deployment.spec.concurrency_policy})"
    )


def expiry_in_queue(run: FlowRun) -> datetime | None:
    """Return until when a run of a schedule may wait in the queue; None: for ever."""
    trigger, spec = run.spec.trigger, run.status.resolved_spec or {}
    seconds = spec.get("startingDeadlineSeconds")
    if not seconds or not trigger or trigger.type != "Schedule" or not trigger.scheduled_time:
        return None
    return parse_moment(trigger.scheduled_time) + timedelta(seconds=seconds)


def expired_in_queue() -> Outcome:
    """Return the end of a run that waited for too long."""
    return Outcome(
        Reason.STARTING_DEADLINE_EXCEEDED,
        "The run waited in the queue until spec.startingDeadlineSeconds after its tick had passed. "
        "Raise that, or concurrencyLimit, or schedule fewer runs",
    )
