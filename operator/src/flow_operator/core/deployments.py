"""What to do about one FlowDeployment."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun, Reason
from flow_operator.api.v1alpha1.flowdeployment import ScheduleStatus
from flow_operator.core import names
from flow_operator.core.ahead import Ahead, may_plan, plan_ahead, split
from flow_operator.core.concurrency import Plan, active_names, due_starts, limit_of, make_plan
from flow_operator.core.decision import (
    Action,
    CancelRun,
    CreateRun,
    Decision,
    EmitEvent,
    Refusal,
    WriteStatus,
)
from flow_operator.core.deploymentstatus import Facts, make_status, say_invalid
from flow_operator.core.durations import format_moment
from flow_operator.core.history import expired_runs
from flow_operator.core.invalid import problems_of
from flow_operator.core.runs import first_job
from flow_operator.core.schedules import (
    Clock,
    Due,
    due_ticks,
    make_ticks,
    read_clocks,
    record_of,
)
from flow_operator.core.settings import Settings
from flow_operator.core.triggers import (
    SpecChange,
    Start,
    Tick,
    last_trigger,
    run_manifest,
    spec_change,
)

_RETRY_CONFLICT = 30.0
_RETRY_ROOM = 30.0
_DEFAULTS = Settings()


def decide_deployment(
    raw: dict[str, Any],
    runs: list[FlowRun],
    now: datetime,
    refusal: Refusal | None = None,
    *,
    settings: Settings = _DEFAULTS,
    begun: Collection[str] = (),
) -> Decision:
    """Return what to do about a FlowDeployment.

    Args:
        raw: The object as the API server has it.
        runs: The FlowRuns of its namespace that refer to it, in any order.
        now: The time, in UTC.
        refusal: Why the run that was just to be created was refused, if it was.
        settings: The administrator's settings.
        begun: Names of the runs made ahead that have a Job, whatever they say themselves.
    """
    try:
        deployment = FlowDeployment.model_validate(raw)
    except ValidationError as error:
        return say_invalid(raw, problems_of(error), now)
    if problems := problems_of(deployment):
        return say_invalid(raw, problems, now)
    if deployment.metadata.deletion_timestamp:
        return Decision()
    runs, plans = split(raw, runs, begun)
    clocks, problems = read_clocks(deployment, raw, runs, now)
    timed = [(clock, due_ticks(clock, deployment, now)) for clock in clocks]
    due = due_starts(spec_change(deployment), make_ticks(timed))
    wanted = {start.run_name(deployment) for start in due}
    ripe = [run for run in plans if run.metadata.name in wanted]
    plans = [run for run in plans if run.metadata.name not in wanted]
    runs += ripe
    if refusal:
        timed = [(clock, Due(upcoming=asked.upcoming)) for clock, asked in timed]
        due, plan = [], Plan()
    else:
        plan = make_plan(deployment, due, runs)

    ahead = Ahead()
    if not refusal:
        ahead = plan_ahead(deployment, timed, runs, plans, now, settings=settings)
    turn = _Turn(deployment, runs, now, timed, plan)
    changes = [start for start in plan.starts if isinstance(start, SpecChange)]
    facts = Facts(
        trigger=changes[0].trigger if changes else last_trigger(deployment),
        schedules=turn.records(),
        problems=problems,
        active=active_names(deployment, plan.starts, runs),
        started=plan.starts[-1].run_name(deployment) if plan.starts else None,
        refusal=refusal,
    )
    actions: list[Action] = [*ahead.deletions, *turn.creations()]
    if plan.starts and may_plan(deployment, settings):
        jobs = (first_job(run, raw, now, settings) for run in ripe)
        actions += [job for job in jobs if job]
    # Where runs wait for a place in the status, it is as urgent as they are; and so it is where the
    # ticks after these cannot be seen before these are on record.
    more = any(due.more for _, due in timed)
    pressing = len(actions) if limit_of(deployment) is None and not more else None
    actions += turn.announcements()
    status = make_status(deployment, runs, facts, now).to_manifest()
    if status != raw.get("status"):
        actions.append(WriteStatus(status))
        actions += turn.news(problems)
    alone = len(actions) == 1 and isinstance(actions[0], WriteStatus)
    may_wait = alone and _is_progress(raw.get("status") or {}, status)
    actions += ahead.creations
    expiry = None
    if not plan.starts and not refusal:  # once all is on record a name may be freed
        deletions, expiry = expired_runs(deployment, runs, now)
        actions += deletions
    return Decision(
        tuple(actions),
        turn.look_again(min(filter(None, (expiry, ahead.look_again)), default=None), refusal),
        commits=bool(
            plan.starts
            or plan.skipped
            or ahead.deletions
            or ahead.creations
            or any(due.missed for _, due in timed)
        ),
        may_wait=may_wait,
        pressing=pressing,
    )


def _is_progress(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Tell whether two statuses differ in nothing but how far the last run is."""
    last = {"lastRun": new.get("lastRun")}
    return "completionTime" not in (last["lastRun"] or {}) and old | last == new


@dataclass(frozen=True, slots=True)
class _Turn:
    """One look at a deployment, once it is decided what starts."""

    deployment: FlowDeployment
    runs: list[FlowRun]
    now: datetime
    timed: Sequence[tuple[Clock, Due]]
    plan: Plan

    def creations(self) -> list[Action]:
        """Return the creations of runs, and the cancellations that make room for them."""
        known = {run.metadata.name for run in self.runs}
        manifests = [run_manifest(self.deployment, start) for start in self.plan.starts]
        actions: list[Action] = [
            CreateRun(manifest)
            for manifest in manifests
            if manifest["metadata"]["name"] not in known
        ]
        newest = self.plan.starts[-1].run_name(self.deployment) if self.plan.starts else ""
        actions += [
            CancelRun(run.metadata.name, run.metadata.uid, newest) for run in self.plan.replaced
        ]
        return actions

    def announcements(self) -> list[Action]:
        """Return the Events about the runs that are made."""
        actions: list[Action] = []
        for start in self.plan.starts:
            name = start.run_name(self.deployment)
            words = f"Created FlowRun {name}{_why(start)}"
            actions.append(self._event("RunCreated", words, name, action="CreateRun"))
        return actions

    def records(self) -> list[ScheduleStatus]:
        """Return what to remember of each schedule, and of those that cannot be followed."""
        by_name = {}
        for clock, due in self.timed:
            name = clock.schedule.name
            left = [tick.time for tick in self.plan.left if tick.schedule.name == name]
            ran = [
                start.time
                for start in self.plan.starts
                if isinstance(start, Tick) and start.schedule.name == name
            ]
            handled = due.handled or clock.handled
            if left:  # up to the last tick before the first that waits
                handled = max([tick for tick in due.ticks if tick < left[0]], default=clock.handled)
            by_name[name] = record_of(clock, handled, max(ran, default=None), due)
        kept = {record.name: record for record in self.deployment.status.schedules or []}
        return [
            record
            for schedule in self.deployment.spec.schedules or []
            if (record := by_name.get(schedule.name) or kept.get(schedule.name))
        ]

    def news(self, problems: Sequence[str]) -> list[Action]:
        """Return the Events about what did not become a run."""
        actions: list[Action] = []
        if problems:
            generation = self.deployment.metadata.generation
            actions.append(
                self._event(
                    Reason.INVALID_SPEC, "; ".join(problems), generation,
                    warning=True, action="Validate",
                )
            )  # fmt: skip
        for tick in self.plan.skipped:
            policy = self.deployment.spec.concurrency_policy
            words = f"concurrencyPolicy: {policy}, and there are unfinished runs"
            actions.append(
                self._event(
                    "TickSkipped",
                    f"No run for {format_moment(tick.time)} of schedule {tick.schedule.name}: "
                    f"{words}",
                    tick.schedule.name,
                    format_moment(tick.time),
                )
            )
        for clock, due in self.timed:
            if due.missed:
                name, first = clock.schedule.name, format_moment(due.missed)
                actions.append(
                    self._event(
                        "TicksMissed",
                        f"Schedule {name}: {_missed(due)} passed without a run. What becomes of "
                        "such ticks is up to spec.catchUp and spec.startingDeadlineSeconds",
                        name,
                        first,
                        warning=True,
                    )
                )
        return actions

    def look_again(self, other: datetime | None, refusal: Refusal | None) -> float | None:
        """Return in how many seconds something is due by the clock alone."""
        waits = [_RETRY_CONFLICT] if refusal else []
        if self.plan.left:
            waits.append(_RETRY_ROOM)
        elif any(due.more for _, due in self.timed):
            waits.append(0.0)
        moments = [due.upcoming[1] for _, due in self.timed if due.upcoming and not due.more]
        if other:
            moments.append(other)
        waits += [max((moment - self.now).total_seconds(), 0.0) for moment in moments]
        return min(waits, default=None)

    def _event(
        self, reason: str, message: str, *key: object, warning: bool = False, action: str = "Tick"
    ) -> EmitEvent:
        return EmitEvent(
            names.event_name(self.deployment.metadata.uid, reason, *key),
            "Warning" if warning else "Normal",
            str(reason),
            message,
            action,
        )


def _why(start: Start) -> str:
    if isinstance(start, Tick):
        return f" for {format_moment(start.time)} of schedule {start.schedule.name}"
    return ""


def _missed(due: Due) -> str:
    first = format_moment(due.missed) if due.missed else ""
    until = due.ticks[0] if due.ticks else due.handled
    if until is None or until == due.missed:
        return f"the tick of {first}"
    return f"the ticks from {first} to before {format_moment(until)}"
