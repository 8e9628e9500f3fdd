"""The status of a FlowDeployment: what is said of its definition, its runs and its schedules."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import (
    Condition,
    FlowDeployment,
    FlowDeploymentStatus,
    FlowRun,
    Phase,
    Reason,
    find_condition,
)
from flow_operator.api.v1alpha1.conditions import ConditionType
from flow_operator.api.v1alpha1.flowdeployment import (
    ActiveRun,
    LastRun,
    LastTrigger,
    ScheduleStatus,
)
from flow_operator.core import names
from flow_operator.core.conditions import make_condition
from flow_operator.core.decision import Decision, EmitEvent, Refusal, WriteStatus
from flow_operator.core.runstate import is_finished
from flow_operator.core.schedules import summary_of

Verdict = Literal["True", "False"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a status is made of, beside the deployment and its runs.

    Attributes:
        trigger: The spec change that was last turned into a run.
        schedules: What is known of each schedule.
        problems: What is wrong with schedules; the rest of the definition is in force.
        active: Names of the runs that may have Pods.
        started: Name of the last run that is just to be created.
        refusal: Why the run that was just to be created was refused, if it was.
    """

    trigger: LastTrigger | None = None
    schedules: Sequence[ScheduleStatus] = field(default_factory=tuple)
    problems: Sequence[str] = field(default_factory=tuple)
    active: Sequence[str] = field(default_factory=tuple)
    started: str | None = None
    refusal: Refusal | None = None


def make_status(
    deployment: FlowDeployment, runs: list[FlowRun], facts: Facts, now: datetime
) -> FlowDeploymentStatus:
    """Return the status of a deployment that can be followed, if not in all its schedules."""
    old = deployment.status
    conditions = _conditions(deployment, facts, now)
    if last_finished := _last_run_succeeded(deployment, runs, now):
        conditions.append(last_finished)
    fields: dict[str, Any] = {
        "observed_generation": deployment.metadata.generation,
        "conditions": conditions,
        "source": deployment.spec.source.summary(),
        "last_trigger": facts.trigger,
        "last_run": _last_run(old.last_run, runs, facts.started, now),
        "schedule": summary_of(deployment),
        "last_schedule_time": max(
            (
                time
                for time in (
                    old.last_schedule_time,
                    *(known.last_schedule_time for known in facts.schedules),
                )
                if time
            ),
            default=None,
        ),
        "next_schedule_time": min(
            (known.next_schedule_time for known in facts.schedules if known.next_schedule_time),
            default=None,
        ),
        "schedules": list(facts.schedules) or None,
        "active": [ActiveRun(name=name) for name in facts.active] or None,
    }
    return FlowDeploymentStatus(
        **{name: value for name, value in fields.items() if value is not None}
    )


def _conditions(deployment: FlowDeployment, facts: Facts, now: datetime) -> list[Condition]:
    generation, old = deployment.metadata.generation, deployment.status.conditions

    def condition(kind: ConditionType, verdict: Verdict, reason: str, message: str) -> Condition:
        return make_condition(old, kind, verdict, reason, message, generation=generation, now=now)

    if facts.problems:
        message = "; ".join(facts.problems)
        return [
            condition(ConditionType.READY, "False", Reason.INVALID_SPEC, message),
            condition(ConditionType.STALLED, "True", Reason.INVALID_SPEC, message),
        ]
    if facts.refusal:
        refusal = facts.refusal
        return [condition(ConditionType.READY, "False", refusal.reason, refusal.message)]
    if deployment.spec.suspend:
        words = "spec.suspend is true: the operator starts no runs of this deployment"
        return [condition(ConditionType.READY, "True", Reason.SUSPENDED, words)]
    return [condition(ConditionType.READY, "True", Reason.ACCEPTED, "The definition is valid")]


def _created(run: FlowRun) -> datetime:
    return run.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC)


def _last_run(
    known: LastRun | None, runs: list[FlowRun], started: str | None, now: datetime
) -> LastRun | None:
    if started and all(run.metadata.name != started for run in runs):
        return LastRun(name=started, phase=Phase.PENDING, start_time=now)
    newest = max(runs, key=lambda run: (_created(run), run.metadata.name), default=None)
    if newest is None:
        return known
    gone = known and all(run.metadata.name != known.name for run in runs)
    if known and gone and known.start_time and known.start_time > _created(newest):
        return known  # the newest run is deleted already; what it was stays on record
    status, name = newest.status, newest.metadata.name
    phase = Phase.PENDING if status.phase in (None, Phase.SCHEDULED) else status.phase
    start_time = status.start_time
    if phase == Phase.PENDING:  # whether it is a second later or not is not worth a write
        told = known.start_time if known and known.name == name else None
        start_time = told or start_time or (now if name == started else None)
    fields: dict[str, Any] = {
        "name": name,
        "phase": phase,
        "revision": status.revision,
        "start_time": start_time,
        "completion_time": status.completion_time,
    }
    return LastRun(**{name: value for name, value in fields.items() if value is not None})


def _last_run_succeeded(
    deployment: FlowDeployment, runs: list[FlowRun], now: datetime
) -> Condition | None:
    old = find_condition(deployment.status.conditions, ConditionType.LAST_RUN_SUCCEEDED)
    finished = [run for run in runs if is_finished(run)]
    newest = max(
        finished, key=lambda run: (run.status.completion_time, run.metadata.name), default=None
    )
    if newest is None:
        return old
    succeeded = find_condition(newest.status.conditions, ConditionType.SUCCEEDED)
    if succeeded is None:
        return old
    return make_condition(
        deployment.status.conditions,
        ConditionType.LAST_RUN_SUCCEEDED,
        "True" if succeeded.status == "True" else "False",
        succeeded.reason,
        f"FlowRun {newest.metadata.name}: {succeeded.message}",
        generation=deployment.metadata.generation,
        now=now,
    )


def say_invalid(raw: dict[str, Any], problems: list[str], now: datetime) -> Decision:
    """Say what is wrong with a definition, and keep what is known of its runs."""
    try:
        old = FlowDeploymentStatus.model_validate(raw.get("status") or {})
    except ValidationError:
        old = FlowDeploymentStatus()
    generation = raw["metadata"].get("generation", 0)
    message = "; ".join(problems)
    kept = [
        condition
        for condition in old.conditions
        if condition.type not in (ConditionType.READY, ConditionType.STALLED)
    ]
    verdicts: tuple[tuple[ConditionType, Literal["True", "False"]], ...] = (
        (ConditionType.READY, "False"),
        (ConditionType.STALLED, "True"),
    )
    conditions = [
        make_condition(
            old.conditions,
            kind,
            verdict,
            Reason.INVALID_SPEC,
            message,
            generation=generation,
            now=now,
        )
        for kind, verdict in verdicts
    ]
    status = old.model_copy(
        update={"observed_generation": generation, "conditions": [*conditions, *kept]}
    ).to_manifest()
    if status == raw.get("status"):
        return Decision()
    event = EmitEvent(
        names.event_name(raw["metadata"]["uid"], Reason.INVALID_SPEC, generation),
        "Warning",
        Reason.INVALID_SPEC,
        message,
        "Validate",
    )
    return Decision((WriteStatus(status), event))
