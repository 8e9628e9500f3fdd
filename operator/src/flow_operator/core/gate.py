"""Whether a run may go ahead, or waits in phase Queued, and for how long it may wait."""

import contextlib
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun, Reason
from flow_operator.core.concurrency import limit_of, suspended_by
from flow_operator.core.durations import parse_moment
from flow_operator.core.invalid import problems_of
from flow_operator.core.podstate import Outcome, Problem
from flow_operator.core.schedules import delay_of


def held_by_deployment(run: FlowRun, raw: dict[str, Any]) -> Problem | None:
    """Return why its deployment, or other runs of that, keep the run waiting; None: they do not."""
    try:
        deployment = FlowDeployment.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(problems_of(error))
        name = run.spec.deployment_ref.name
        return Problem(Reason.QUEUED, f"Waiting until FlowDeployment {name} is valid: {problems}")
    if held := suspended_by(run, deployment):
        return Problem(
            Reason.SUSPENDED, f"FlowDeployment {deployment.metadata.name} is suspended ({held})"
        )
    limit, name = limit_of(deployment), run.metadata.name
    if limit is None or any(entry.name == name for entry in deployment.status.active or []):
        return None
    runs = "another run" if limit == 1 else f"one of {limit} other runs"
    return Problem(
        Reason.QUEUED,
        f"Waiting for {runs} of FlowDeployment {deployment.metadata.name} to end "
        f"(concurrencyPolicy: {deployment.spec.concurrency_policy})",
    )


def read_deployment(raw: dict[str, Any]) -> FlowDeployment | None:
    """Return a deployment; None: it cannot be read."""
    with contextlib.suppress(ValidationError):
        return FlowDeployment.model_validate(raw)
    return None


def expiry_in_queue(run: FlowRun, deployment: FlowDeployment | None) -> datetime | None:
    """Return until when a run of a schedule may wait in the queue; None: for ever.

    That counts from when the run was to be made: at its tick, or its jitter later.
    """
    trigger, spec = run.spec.trigger, run.status.resolved_spec or {}
    seconds = spec.get("startingDeadlineSeconds")
    if not seconds or not trigger or trigger.type != "Schedule" or not trigger.scheduled_time:
        return None
    tick = start = parse_moment(trigger.scheduled_time)
    if deployment:
        for schedule in deployment.spec.schedules or []:
            if schedule.name == trigger.schedule:
                start = tick + delay_of(deployment.metadata.uid, schedule, tick)
    return start + timedelta(seconds=seconds)


def expired_in_queue() -> Outcome:
    """Return the end of a run that waited for too long."""
    return Outcome(
        Reason.STARTING_DEADLINE_EXCEEDED,
        "The run could not start for longer than spec.startingDeadlineSeconds allows. Raise that, "
        "or concurrencyLimit, or schedule fewer runs",
    )
