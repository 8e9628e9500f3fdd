"""The status of a FlowRun at each turn of its life, with the Events that go with it."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from flow_operator.api.v1alpha1 import (
    Condition,
    FlowRun,
    FlowRunStatus,
    Phase,
    Reason,
    find_condition,
)
from flow_operator.api.v1alpha1.conditions import ConditionType
from flow_operator.api.v1alpha1.flowrun import Attempt, StageSeconds
from flow_operator.core import names
from flow_operator.core.conditions import MAX_MESSAGE, make_condition, shorten
from flow_operator.core.deadlines import retry_time
from flow_operator.core.decision import Action, Decision, EmitEvent, WriteStatus
from flow_operator.core.durations import format_moment, human_duration
from flow_operator.core.jobstate import JobState
from flow_operator.core.podstate import Outcome, Problem
from flow_operator.core.runstate import last_attempt, pinned_revision

MAX_ATTEMPTS = 64
"""How many attempts the status keeps; the oldest go first."""

_SAID_AT_THE_END = (Reason.CANCELLED, Reason.REPLACED, Reason.DEADLINE_EXCEEDED)
"""Reasons for stopping a run; the Event about its end gives them."""

_PHASE_MESSAGES = {
    Phase.PENDING: "Waiting for the Pod to start",
    Phase.FETCHING: "Fetching the code",
    Phase.RUNNING: "Running the code",
}


def take_up(
    run: FlowRun, snapshot: dict[str, Any], now: datetime, *, held: Problem | None = None
) -> Decision:
    """Record the snapshot; the first Job follows once it is written and nothing holds the run."""
    if held:
        status = _in_queue(run, _unknown(run, held.reason, held.message, now), now)
    else:
        status = _status(run, Phase.PENDING, _unknown(run, Phase.PENDING, "Taken up", now), now)
    status["resolved_spec"] = snapshot
    return Decision((_write(run, status),), requeue_after=0.0)


def queued(run: FlowRun, held: Problem, now: datetime, *, requeue_after: float) -> Decision:
    """Record what a run waits for in the queue."""
    status = _in_queue(run, _unknown(run, held.reason, held.message, now), now)
    return _decide(run, status, [], requeue_after)


def abandoned(run: FlowRun, problem: Problem, now: datetime, *, requeue_after: float) -> Decision:
    """Record that a run in the queue lacks what it would wait for there, and since when."""
    conditions = _unknown(run, problem.reason, problem.message, now, then=ConditionType.STALLED)
    status = _in_queue(run, conditions, now)
    since = format_moment(conditions[-1].last_transition_time)
    event = _warning(run, problem.reason, problem.message, since)
    return _decide(run, status, [event], requeue_after)


def let_go(run: FlowRun, now: datetime) -> Decision:
    """Record that a run has left the queue; its time counts from now."""
    status = _status(run, Phase.PENDING, _unknown(run, Phase.PENDING, "Taken up", now), now)
    return Decision((_write(run, status),), requeue_after=0.0)


def waiting(run: FlowRun, problem: Problem, now: datetime, *, requeue_after: float) -> Decision:
    """Record what the run is waiting for."""
    conditions = _unknown(run, problem.reason, problem.message, now)
    status = _status(run, Phase.PENDING, conditions, now)
    return _decide(run, status, [_warning(run, problem.reason, problem.message)], requeue_after)


def progress(
    run: FlowRun,
    attempt: Attempt,
    phase: Phase,
    problem: Problem | None,
    now: datetime,
    *,
    before: tuple[Action, ...] = (),
    requeue_after: float | None = None,
) -> Decision:
    """Record how far an attempt is."""
    reason = problem.reason if problem else phase.value
    message = problem.message if problem else _PHASE_MESSAGES[phase]
    status = _status(run, phase, _unknown(run, reason, message, now), now)
    _record(run, status, attempt)
    events = []
    if problem and problem.reason not in _SAID_AT_THE_END and not _said(run, problem.reason):
        events.append(_warning(run, problem.reason, problem.message, attempt.number))
    decision = _decide(run, status, events, requeue_after, before)
    if before or problem or not decision.actions:
        return decision
    if _only_details(run, status, attempt):
        return Decision(requeue_after=requeue_after)
    # A run that says nothing yet looks as if nobody had seen it.
    return replace(decision, may_wait=run.status.start_time is not None, pressing=0)


def retry(
    run: FlowRun,
    attempt: Attempt,
    outcome: Outcome,
    now: datetime,
    *,
    retries: int = 0,
    disruptions: int = 0,
) -> Decision:
    """Record that an attempt ended, and that another one follows.

    Args:
        run: The run.
        attempt: The attempt.
        outcome: How it ended.
        now: The time, in UTC.
        retries: How many retries there are now; none: the number stays.
        disruptions: The same for disruptions.
    """
    ended = _ended(attempt, outcome, now)
    counts = {
        "retries": retries or run.status.retries or 0,
        "disruptions": disruptions or run.status.disruptions or 0,
    }
    seconds = max((retry_time(run, ended, **counts) - now).total_seconds(), 0.0)
    message = (
        f"{outcome.message} (attempt {attempt.number}; the next one follows in {seconds:.0f} s)"
    )
    status = _status(run, Phase.PENDING, _unknown(run, outcome.reason, message, now), now)
    _record(run, status, ended)
    status |= {name: count for name, count in counts.items() if count}
    events = [_warning(run, outcome.reason, message, attempt.number)]
    return _decide(run, status, events, seconds)


def finish(
    run: FlowRun,
    outcome: Outcome,
    now: datetime,
    *,
    attempt: Attempt | None = None,
    result: Any = None,
    before: tuple[Action, ...] = (),
) -> Decision:
    """Record how the run ended."""
    phase = _final_phase(outcome)
    message = outcome.message or _succeeded_message(attempt)
    condition = make_condition(
        run.status.conditions,
        ConditionType.SUCCEEDED,
        "True" if outcome.succeeded else "False",
        outcome.reason,
        message,
        generation=run.metadata.generation,
        now=now,
    )
    status = _status(run, phase, [condition], now)
    if attempt := attempt or _open_attempt(run):
        _record(run, status, _ended(attempt, outcome, now))
    started = status["start_time"]
    status |= {"completion_time": now, "duration": human_duration((now - started).total_seconds())}
    if result is not None:
        status["result"] = result
    make = _normal if outcome.succeeded or phase is Phase.CANCELLED else _warning
    return _decide(run, status, [make(run, outcome.reason, message, "end")], None, before)


def unreadable(raw: dict[str, Any], message: str, now: datetime) -> Decision:
    """End a run whose object this release cannot read."""
    generation = raw["metadata"].get("generation", 0)
    condition = make_condition(
        (),
        ConditionType.SUCCEEDED,
        "False",
        Reason.INVALID_SPEC,
        message,
        generation=generation,
        now=now,
    )
    status = FlowRunStatus(
        observed_generation=generation,
        phase=Phase.FAILED,
        conditions=[condition],
        completion_time=now,
    ).to_manifest()
    old = raw.get("status") or {}
    return Decision() if old.get("completionTime") else Decision((WriteStatus({**old, **status}),))


def observed_attempt(run: FlowRun, job: JobState) -> Attempt:
    """Return what is known of the attempt that a Job stands for."""
    last = last_attempt(run)
    known = last if last and last.job_uid == job.uid else None
    number = known.number if known else (last.number + 1 if last else 1)
    fields: dict[str, Any] = {
        "number": number,
        "job_name": job.name,
        "job_uid": job.uid,
        "start_time": job.created,
        "pinned": known.pinned if known else pinned_revision(run) is not None,
        "pod_name": job.pod_name or (known.pod_name if known else None),
        "pod_uid": job.pod_uid or (known.pod_uid if known else None),
        "revision": job.pod.fetch.revision if job.pod.fetch else None,
        "seconds": _seconds(job),
    }
    return Attempt(**{name: value for name, value in fields.items() if value is not None})


def _final_phase(outcome: Outcome) -> Phase:
    if outcome.succeeded:
        return Phase.SUCCEEDED
    stopped = outcome.reason in (Reason.CANCELLED, Reason.REPLACED)
    return Phase.CANCELLED if stopped else Phase.FAILED


def _succeeded_message(attempt: Attempt | None) -> str:
    return f"Ran revision {attempt.revision}" if attempt and attempt.revision else "Ran"


def _open_attempt(run: FlowRun) -> Attempt | None:
    last = last_attempt(run)
    return last if last and last.completion_time is None else None


def _ended(attempt: Attempt, outcome: Outcome, now: datetime) -> Attempt:
    update: dict[str, Any] = {"completion_time": now, "reason": str(outcome.reason)}
    if outcome.message:
        update["message"] = shorten(outcome.message, MAX_MESSAGE)
    return attempt.model_copy(update=update)


def _seconds(job: JobState) -> StageSeconds | None:
    pod = job.pod
    fields: dict[str, float] = {}
    if pod.fetch_started:
        fields["pending"] = max((pod.fetch_started - job.created).total_seconds(), 0.0)
    if pod.fetch and pod.fetch.seconds is not None:
        fields["fetch"] = pod.fetch.seconds
    if pod.flow_started and pod.flow_finished:
        fields["run"] = max((pod.flow_finished - pod.flow_started).total_seconds(), 0.0)
    return StageSeconds(**fields) if fields else None


def _status(
    run: FlowRun, phase: Phase, conditions: list[Condition], now: datetime
) -> dict[str, Any]:
    """Return the fields of a status that goes on from the one that the run has."""
    old = run.status
    fields: dict[str, Any] = {name: getattr(old, name) for name in old.model_fields_set}
    fields |= {
        "observed_generation": run.metadata.generation,
        "phase": phase.value,
        "conditions": conditions,
        "start_time": old.start_time or now,
    }
    return fields


def _record(run: FlowRun, fields: dict[str, Any], attempt: Attempt) -> None:
    others = [known for known in run.status.attempts or [] if known.number != attempt.number]
    fields["attempts"] = [*others, attempt][-MAX_ATTEMPTS:]
    if attempt.revision:
        fields["revision"] = attempt.revision


def _unknown(
    run: FlowRun,
    reason: str,
    message: str,
    now: datetime,
    *,
    then: ConditionType = ConditionType.RECONCILING,
) -> list[Condition]:
    """Return the conditions of a run that has not ended: that, and whether it gets on."""
    generation, old = run.metadata.generation, run.status.conditions
    kinds: tuple[tuple[ConditionType, Literal["Unknown", "True"]], ...] = (
        (ConditionType.SUCCEEDED, "Unknown"),
        (then, "True"),
    )
    return [
        make_condition(old, kind, status, reason, message, generation=generation, now=now)
        for kind, status in kinds
    ]


def _in_queue(run: FlowRun, conditions: list[Condition], now: datetime) -> dict[str, Any]:
    """Return the status of a run whose time does not count yet."""
    status = _status(run, Phase.QUEUED, conditions, now)
    del status["start_time"]
    return status


def _only_details(run: FlowRun, fields: dict[str, Any], attempt: Attempt) -> bool:
    """Whether a status adds nothing but details of an attempt: the next phase tells them with it.

    Such are the name of the Pod, and how long the main container ran.
    """
    last = last_attempt(run)
    if last is None or last.job_uid != attempt.job_uid or last.revision != attempt.revision:
        return False
    same = ("phase", "conditions", "observed_generation")
    return all(fields[name] == getattr(run.status, name) for name in same)


def _said(run: FlowRun, reason: str) -> bool:
    """Whether the status gives that reason already, so that its Event has been recorded, too."""
    condition = find_condition(run.status.conditions, ConditionType.SUCCEEDED)
    return condition is not None and condition.reason == reason


def _write(run: FlowRun, fields: dict[str, Any]) -> WriteStatus:
    return WriteStatus(FlowRunStatus(**fields).to_manifest())


def _decide(
    run: FlowRun,
    fields: dict[str, Any],
    events: list[EmitEvent],
    requeue_after: float | None,
    before: tuple[Action, ...] = (),
) -> Decision:
    write = _write(run, fields)
    if write.status == run.status.to_manifest():
        return Decision(before, requeue_after)
    return Decision((*before, write, *events), requeue_after)


def _normal(run: FlowRun, reason: str, message: str, key: object = "") -> EmitEvent:
    return _event(run, "Normal", reason, message, key)


def _warning(run: FlowRun, reason: str, message: str, key: object = "") -> EmitEvent:
    return _event(run, "Warning", reason, message, key)


def _event(
    run: FlowRun, kind: Literal["Normal", "Warning"], reason: str, message: str, key: object
) -> EmitEvent:
    return EmitEvent(
        names.event_name(run.metadata.uid, reason, key), kind, str(reason), message, "Reconcile"
    )
