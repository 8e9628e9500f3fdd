"""Which finished runs of a deployment are deleted: beyond the limits, or too old."""

from datetime import datetime, timedelta

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun, Phase
from flow_operator.core.concurrency import is_ours
from flow_operator.core.decision import DeleteRun
from flow_operator.core.runstate import is_finished
from flow_operator.core.schedules import tick_of


def expired_runs(
    deployment: FlowDeployment, runs: list[FlowRun], now: datetime
) -> tuple[list[DeleteRun], datetime | None]:
    """Return the deletions that are due, and when the next one is.

    Only runs that the operator made are deleted: one that is kept in git would come back for ever.
    And none whose tick is not on record as dealt with: it would be run again.
    """
    ours = [
        run
        for run in runs
        if is_ours(run, deployment) and is_finished(run) and not run.metadata.deletion_timestamp
    ]
    ours.sort(key=lambda run: (run.status.completion_time, run.metadata.name), reverse=True)
    succeeded = [run for run in ours if run.status.phase == Phase.SUCCEEDED]
    failed = [run for run in ours if run.status.phase != Phase.SUCCEEDED]
    spec = deployment.spec
    beyond = [
        *succeeded[spec.successful_runs_history_limit :],
        *failed[spec.failed_runs_history_limit :],
    ]
    gone = {run.metadata.uid for run in beyond}
    upcoming = None
    if spec.ttl_seconds_after_finished is not None:
        ttl = timedelta(seconds=spec.ttl_seconds_after_finished)
        for run in ours:
            ended = run.status.completion_time
            if ended is None or run.metadata.uid in gone:
                continue
            if ended + ttl <= now:
                beyond.append(run)
            else:
                upcoming = min(upcoming or ended + ttl, ended + ttl)
    deletions = [
        DeleteRun(run.metadata.name, run.metadata.uid)
        for run in beyond
        if _on_record(run, deployment)
    ]
    return deletions, upcoming


def _on_record(run: FlowRun, deployment: FlowDeployment) -> bool:
    tick = tick_of(run, deployment.metadata.uid)
    if tick is None:
        return True
    name, time = tick
    record = next((r for r in deployment.status.schedules or [] if r.name == name), None)
    return record is None or time <= record.handled_until
