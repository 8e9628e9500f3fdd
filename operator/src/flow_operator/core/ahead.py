"""Runs that are made shortly before their tick, so that only their Jobs are left to make at it.

When many deployments are due at the same moment, half of what a run costs the API server is its
FlowRun. So the FlowRun of the next tick is made ahead, where nothing but the clock decides on it.
Until its tick it is a plan, which nobody follows: it says so itself, by an annotation. Its
deployment lets it begin, by its first Job or by having the tick on record, and deletes it when it
would not make the same run any more. Both are for the reconcile of the deployment alone, one at a
time, and a plan that does not begin is deleted before its tick is on record as dealt with; so
whatever is on record has begun, or may begin at any time.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun
from flow_operator.core import names
from flow_operator.core.concurrency import MAX_OPEN_RUNS, limit_of, open_runs
from flow_operator.core.decision import CreateRun, DeleteRun
from flow_operator.core.runstate import is_finished
from flow_operator.core.schedules import Clock, Due, tick_of
from flow_operator.core.settings import Settings
from flow_operator.core.triggers import Tick, run_manifest

LEAD_SECONDS = 15
"""How long before its tick a run is made at the latest, if there is time."""

SPREAD_SECONDS = 30
"""By how much longer before it some are made, so that not all are made at once."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What to do about plans.

    Attributes:
        deletions: Plans that will not begin; to be carried out before a tick is put on record.
        creations: Plans to make.
        look_again: When to make the next ones.
    """

    deletions: tuple[DeleteRun, ...] = ()
    creations: tuple[CreateRun, ...] = ()
    look_again: datetime | None = None


def may_plan(deployment: FlowDeployment, settings: Settings) -> bool:
    """Tell whether nothing but the clock decides on which ticks of a deployment are run."""
    return limit_of(deployment) is None and not settings.limits_runs


def is_plan(run: FlowRun) -> bool:
    """Tell whether a run was made ahead and says of itself that nothing has become of it."""
    made_ahead = names.ANNOTATION_AHEAD in run.metadata.annotations
    return made_ahead and run.status.resolved_spec is None and not is_finished(run)


def held_for(run: FlowRun, deployment: dict[str, Any] | None) -> datetime | None:
    """Return the tick of a plan that its deployment has not let begin; None: nothing holds it."""
    if deployment is None or not is_plan(run):
        return None
    tick = tick_of(run, deployment["metadata"]["uid"])
    if tick is None:
        return None
    name, time = tick
    for record in (deployment.get("status") or {}).get("schedules") or []:
        if record["name"] == name and time <= datetime.fromisoformat(record["handledUntil"]):
            return None
    return time


def split(
    deployment: dict[str, Any], runs: Iterable[FlowRun], begun: Collection[str]
) -> tuple[list[FlowRun], list[FlowRun]]:
    """Return the runs that have begun or may, and the plans.

    Args:
        deployment: Whose they are.
        runs: The FlowRuns that name it.
        begun: Names of the plans that have a Job already, though they do not say so yet.
    """
    others: list[FlowRun] = []
    plans: list[FlowRun] = []
    for run in runs:
        held = run.metadata.name not in begun and held_for(run, deployment)
        (plans if held else others).append(run)
    return others, plans


def plan_ahead(
    deployment: FlowDeployment,
    timed: Iterable[tuple[Clock, Due]],
    runs: Collection[FlowRun],
    plans: Iterable[FlowRun],
    now: datetime,
    *,
    settings: Settings,
) -> Ahead:
    """Return what to do about plans.

    Args:
        deployment: The deployment.
        timed: Its schedules, and what they ask for.
        runs: Its runs that have begun, or begin now.
        plans: Its plans, without those that begin now.
        now: The time, in UTC.
        settings: The administrator's settings.
    """
    if not may_plan(deployment, settings):
        return Ahead(_deletions_of(plans))
    full = len(open_runs(list(runs))) >= MAX_OPEN_RUNS
    known = {run.metadata.name for run in runs}
    left = {run.metadata.name: run for run in plans}
    creations: list[CreateRun] = []
    moments: list[datetime] = []
    for clock, due in timed:
        if due.more:  # what is later than this pass goes on record with the next one
            left = {name: run for name, run in left.items() if not _is_later(run, clock, due)}
            continue
        if due.upcoming is None:
            continue
        time, start = due.upcoming
        tick = Tick(clock.schedule, time)
        name = tick.run_name(deployment)
        if plan := left.get(name):  # one that differs is made anew once it is gone
            if plan.metadata.annotations[names.ANNOTATION_AHEAD] == _digest(tick, deployment):
                del left[name]
        elif (moment := _moment(deployment, start)) > now:
            moments.append(moment)
        elif start > now and name not in known and not full:  # what has ended is not made anew
            manifest = run_manifest(deployment, tick)
            notes = {names.ANNOTATION_AHEAD: _digest(tick, deployment)}
            manifest["metadata"]["annotations"] = notes
            creations.append(CreateRun(manifest, optional=True))
    return Ahead(_deletions_of(left.values()), tuple(creations), min(moments, default=None))


def _is_later(plan: FlowRun, clock: Clock, due: Due) -> bool:
    tick = tick_of(plan, clock.uid)
    if tick is None or tick[0] != clock.schedule.name or due.handled is None:
        return False
    return tick[1] > due.handled


def _deletions_of(plans: Iterable[FlowRun]) -> tuple[DeleteRun, ...]:
    """Return the deletions of plans. One that has a Job by now is left to go on."""
    return tuple(
        DeleteRun(meta.name, meta.uid, unless_job=names.job_name(meta.name, meta.uid, 1))
        for meta in (run.metadata for run in plans)
        if not meta.deletion_timestamp
    )


def _digest(tick: Tick, deployment: FlowDeployment) -> str:
    """Return a hash of what the run of a tick says, beside its name."""
    return names.digest(json.dumps(run_manifest(deployment, tick)["spec"], sort_keys=True))


def _moment(deployment: FlowDeployment, start: datetime) -> datetime:
    spread = int(names.digest(deployment.metadata.uid), 16) % SPREAD_SECONDS
    return start - timedelta(seconds=LEAD_SECONDS + spread)
