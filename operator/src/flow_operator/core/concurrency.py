"""Who of a deployment's runs may start, wait, or has to make room.

With every policy but Allow a run starts only once it is listed in `status.active` of its
deployment, and only the reconcile of that deployment, one at a time, writes there. So the limit
holds however many runs are created at the same time, and by whomever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun, Reason, find_condition
from flow_operator.api.v1alpha1.conditions import ConditionType
from flow_operator.api.v1alpha1.flowdeployment import MAX_ACTIVE
from flow_operator.core.runstate import is_finished, is_queued, is_started
from flow_operator.core.triggers import SpecChange, Start, Tick

MAX_OPEN_RUNS = 200
"""With so many unfinished runs a deployment gets no more: ticks wait, as if they were missed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the starts that are due.

    Attributes:
        starts: To be made FlowRuns of.
        skipped: Ticks that are given up, for the policy says so.
        left: Ticks that wait for another pass.
        replaced: Runs to cancel.
    """

    starts: tuple[Start, ...] = ()
    skipped: tuple[Tick, ...] = ()
    left: tuple[Tick, ...] = ()
    replaced: tuple[FlowRun, ...] = ()


def limit_of(deployment: FlowDeployment) -> int | None:
    """Return how many runs of a deployment may run at the same time; None: any number."""
    spec = deployment.spec
    return None if spec.concurrency_policy == "Allow" else (spec.concurrency_limit or 1)


def open_runs(runs: Sequence[FlowRun]) -> list[FlowRun]:
    """Return the runs that have not ended, in the order in which they may start."""
    found = [run for run in runs if not is_finished(run) and not run.metadata.deletion_timestamp]
    return sorted(found, key=_order)


def _order(run: FlowRun) -> tuple[datetime, str, str]:
    tick = run.spec.trigger.scheduled_time if run.spec.trigger else None
    created = run.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC)
    return created, tick or "", run.metadata.name


def make_plan(deployment: FlowDeployment, due: Sequence[Start], runs: Sequence[FlowRun]) -> Plan:
    """Decide on the starts that are due, oldest first."""
    unfinished = open_runs(runs)
    known = {run.metadata.name for run in runs}
    policy, limit = deployment.spec.concurrency_policy, limit_of(deployment)
    starts: list[Start] = []
    skipped: list[Tick] = []
    left: list[Tick] = []
    if policy == "Replace" and limit:  # of several only the newest would survive
        older, due = due[:-limit], due[-limit:]
        skipped += [start for start in older if isinstance(start, Tick)]
    count = len(unfinished)
    for start in due:
        if start.run_name(deployment) in known:
            starts.append(start)  # made before a crash, but not on record
        elif left or count >= MAX_OPEN_RUNS:
            left += [start] if isinstance(start, Tick) else []
        elif policy == "Forbid" and limit and count >= limit:
            skipped += [start] if isinstance(start, Tick) else []
        else:
            starts.append(start)
            count += 1
    replaced: list[FlowRun] = []
    if policy == "Replace" and limit:
        replaced = _victims(deployment, unfinished, starts, known, limit)
    return Plan(tuple(starts), tuple(skipped), tuple(left), tuple(replaced))


def _victims(
    deployment: FlowDeployment,
    unfinished: Sequence[FlowRun],
    starts: Sequence[Start],
    known: set[str],
    limit: int,
) -> list[FlowRun]:
    """Return the oldest of our runs that make room for new ones; never what somebody created.

    A run that is there already, but not on record, is new as well: whoever made it may not have
    come to cancel what it replaces.
    """
    new = {start.run_name(deployment) for start in starts}
    staying = [run for run in unfinished if not run.spec.cancel]
    older = [run for run in staying if run.metadata.name not in new]
    room = limit - len(new - known) - (len(staying) - len(older))
    ours = [run for run in older if is_ours(run, deployment)]
    return ours[: max(len(older) - room, 0)] if new else []


def is_ours(run: FlowRun, deployment: FlowDeployment) -> bool:
    """Tell whether the operator made the run."""
    owner = run.metadata.controller()
    return owner is not None and owner.uid == deployment.metadata.uid


def suspended_by(run: FlowRun, deployment: FlowDeployment) -> str | None:
    """Return the field that holds a run back which has not started; None: none does.

    What somebody created is not held back.
    """
    if not is_ours(run, deployment):
        return None
    if deployment.spec.suspend:
        return "spec.suspend"
    name = run.spec.trigger.schedule if run.spec.trigger else None
    for schedule in deployment.spec.schedules or []:
        if schedule.name == name and schedule.suspend:
            return f"suspend of schedule {name}"
    return None


def _stands_back(run: FlowRun, deployment: FlowDeployment) -> bool:
    """Tell whether a run that has its place is suspended, and says so: it is not being let go."""
    condition = find_condition(run.status.conditions, ConditionType.SUCCEEDED)
    says_so = is_queued(run) and condition is not None and condition.reason == Reason.SUSPENDED
    return says_so and suspended_by(run, deployment) is not None


def active_names(
    deployment: FlowDeployment, starts: Sequence[Start], runs: Sequence[FlowRun]
) -> list[str]:
    """Return the names of the runs that may have Pods, oldest first."""
    unfinished, limit = open_runs(runs), limit_of(deployment)
    there = {run.metadata.name for run in runs}
    made = [name for start in starts if (name := start.run_name(deployment)) not in there]
    if limit is None:
        return [*(run.metadata.name for run in unfinished), *made][:MAX_ACTIVE]
    listed = {entry.name for entry in deployment.status.active or []}
    active = [
        run.metadata.name
        for run in unfinished
        if is_started(run) or (run.metadata.name in listed and not _stands_back(run, deployment))
    ]
    waiting = [
        run.metadata.name
        for run in unfinished
        if run.metadata.name not in active
        and not run.spec.cancel
        and not suspended_by(run, deployment)
    ]
    for name in [*waiting, *made]:
        if len(active) < limit:
            active.append(name)
    return active[:MAX_ACTIVE]


def due_starts(change: SpecChange | None, ticks: Sequence[Tick]) -> list[Start]:
    """Return all that is due in the order in which it is carried out."""
    return [*([change] if change else []), *ticks]
