"""What to do about one FlowRun: take it up, make its next Job, follow that, end it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun, Phase, Reason
from flow_operator.api.v1alpha1.flowrun import Attempt
from flow_operator.core import names, runstatus
from flow_operator.core.conditions import shorten
from flow_operator.core.decision import Action, CreateJob, Decision, Refusal, SuspendJob
from flow_operator.core.gate import expired_in_queue, expiry_in_queue, held_by_deployment
from flow_operator.core.invalid import parameters_problem, problems_of, tick_problem
from flow_operator.core.job import build_job
from flow_operator.core.jobstate import JobState, read_job
from flow_operator.core.podstate import Outcome, Problem
from flow_operator.core.resolve import resolve_spec
from flow_operator.core.runstate import (
    current_attempt,
    is_finished,
    is_queued,
    last_attempt,
    pending_deadline,
    retry_time,
)
from flow_operator.core.settings import Settings

_POLL_SECONDS = 5.0
_QUEUE_SECONDS = 30.0

WAITED_FOR = frozenset({Reason.SECRET_NOT_FOUND})
"""Ends of an attempt that may heal: the run tries again until its pending deadline."""


@dataclass(frozen=True, slots=True)
class RunView:
    """All that a decision about a run depends on, as the API server has it.

    Attributes:
        raw: The FlowRun.
        deployment: The FlowDeployment that it names, if that exists.
        job: The Job of its current attempt (`current_attempt`), if that exists.
        pods: The Pods of that Job.
        held: Why the operator as a whole has no room for the run yet, if it has none.
    """

    raw: dict[str, Any]
    deployment: dict[str, Any] | None = None
    job: dict[str, Any] | None = None
    pods: list[dict[str, Any]] = field(default_factory=list)
    held: str | None = None


def decide_run(
    view: RunView, now: datetime, settings: Settings, refusal: Refusal | None = None
) -> Decision:
    """Return what to do about a FlowRun.

    Args:
        view: What was observed.
        now: The time, in UTC.
        settings: The administrator's settings.
        refusal: Why the Job that was just to be created was refused, if it was.
    """
    try:
        run = FlowRun.model_validate(view.raw)
    except ValidationError as error:
        return runstatus.unreadable(view.raw, "; ".join(problems_of(error)), now)
    if is_finished(run) or run.metadata.deletion_timestamp:
        return Decision()
    if view.job is not None:
        return _follow(run, read_job(view.job, view.pods), now)
    if run.spec.cancel:
        return runstatus.finish(run, _cancelled(run, "before it ran"), now)
    if run.status.resolved_spec is None:
        return _take_up(run, view, now, settings)
    if is_queued(run):
        return _queue(run, view, now)
    return _next_job(run, now, settings, refusal)


def _take_up(run: FlowRun, view: RunView, now: datetime, settings: Settings) -> Decision:
    """Write the snapshot that every Job of the run is built from."""
    owner, raw = run.metadata.controller(), view.deployment
    name = run.spec.deployment_ref.name
    if raw is None or (owner and owner.uid != raw["metadata"]["uid"]):
        missing = Problem(
            Reason.DEPLOYMENT_NOT_FOUND,
            f"spec.deploymentRef.name: there is no FlowDeployment {name!r} in namespace "
            f"{run.metadata.namespace!r}",
        )
        return _wait(run, missing, now)
    try:
        deployment = FlowDeployment.model_validate(raw)
        snapshot = resolve_spec(deployment, run, settings)
        problems = parameters_problem(snapshot.get("parameters")) + tick_problem(run)
    except ValidationError as error:
        problems = [f"FlowDeployment {name}: {problem}" for problem in problems_of(error)]
        snapshot = {}
    if problems:
        return runstatus.finish(run, Outcome(Reason.INVALID_SPEC, "; ".join(problems)), now)
    return runstatus.take_up(run, snapshot, now, held=_held(run, view))


def _queue(run: FlowRun, view: RunView, now: datetime) -> Decision:
    """Let a run go ahead once there is room for it."""
    held, expiry = _held(run, view), expiry_in_queue(run)
    if held is None:
        return runstatus.let_go(run, now)
    if expiry and now >= expiry:
        return runstatus.finish(run, expired_in_queue(), now)
    wait = min((expiry - now).total_seconds(), _QUEUE_SECONDS) if expiry else _QUEUE_SECONDS
    return runstatus.queued(run, held, now, requeue_after=wait)


def _held(run: FlowRun, view: RunView) -> str | None:
    return held_by_deployment(run, view.deployment) or view.held


def _next_job(run: FlowRun, now: datetime, settings: Settings, refusal: Refusal | None) -> Decision:
    last, deadline = last_attempt(run), pending_deadline(run)
    if last and last.completion_time is None:
        lost = Outcome(
            Reason.JOB_DELETED,
            f"Job {last.job_name} was deleted before it ended. Create another FlowRun to run again",
        )
        return runstatus.finish(run, lost, now)
    if refusal:
        if refusal.final:
            return runstatus.finish(run, Outcome(Reason(refusal.reason), refusal.message), now)
        return _wait(run, Problem(Reason(refusal.reason), refusal.message), now)
    if last:
        if deadline and now >= deadline:
            return runstatus.finish(
                run, Outcome(Reason(last.reason or Reason.FETCH_FAILED), last.message or ""), now
            )
        due = retry_time(last)
        if now < due:
            return Decision(requeue_after=(due - now).total_seconds())
    try:
        job = build_job(run, current_attempt(run), settings)
    except (ValidationError, ValueError) as error:
        problem = f"status.resolvedSpec cannot be read by this release: {error}"
        return runstatus.finish(run, Outcome(Reason.INVALID_SPEC, problem), now)
    return Decision((CreateJob(job),))


def _follow(run: FlowRun, job: JobState, now: datetime) -> Decision:
    """Bring the status up to what Job and Pod say, and end or retry the run when they ended."""
    attempt = runstatus.observed_attempt(run, job)
    if job.outcome:
        return _ended(run, attempt, job, job.outcome, now)
    if run.spec.cancel:
        return _cancel(run, attempt, job, now)

    deadline = pending_deadline(run)
    stuck = job.problem or (_no_pod(job) if job.phase is Phase.PENDING else None)
    if stuck and deadline and now >= deadline:
        reason = job.problem.reason if job.problem else Reason.PENDING_DEADLINE_EXCEEDED
        outcome = Outcome(reason, f"{stuck.message} (waited for spec.pendingDeadlineSeconds)")
        return runstatus.finish(run, outcome, now, attempt=attempt, before=_stop(job))
    remaining = (deadline - now).total_seconds() if stuck and deadline else None
    return runstatus.progress(run, attempt, job.phase, job.problem, now, requeue_after=remaining)


def _ended(
    run: FlowRun, attempt: Attempt, job: JobState, outcome: Outcome, now: datetime
) -> Decision:
    if run.spec.cancel and not outcome.succeeded:
        outcome = _cancelled(run, "while it ran")
    deadline = pending_deadline(run)
    if outcome.reason in WAITED_FOR and deadline and now < deadline:
        return runstatus.retry(run, attempt, outcome, now)
    result = job.result if outcome.succeeded else None
    return runstatus.finish(run, outcome, now, attempt=attempt, result=result)


def _cancel(run: FlowRun, attempt: Attempt, job: JobState, now: datetime) -> Decision:
    if job.suspended and not job.has_pod:
        return runstatus.finish(run, _cancelled(run, "while it ran"), now, attempt=attempt)
    stopping = Problem(Reason.CANCELLED, "Stopping: waiting for the Pod to end")
    return runstatus.progress(
        run, attempt, job.phase, stopping, now, before=_stop(job), requeue_after=_POLL_SECONDS
    )


def _cancelled(run: FlowRun, when: str) -> Outcome:
    if newer := run.metadata.annotations.get(names.ANNOTATION_REPLACED_BY):
        return Outcome(
            Reason.REPLACED,
            f"Cancelled {when} to make room for FlowRun {shorten(newer, 253)} "
            "(concurrencyPolicy: Replace)",
        )
    return Outcome(Reason.CANCELLED, f"Cancelled {when}")


def _stop(job: JobState) -> tuple[Action, ...]:
    return () if job.suspended else (SuspendJob(job.name, job.uid),)


def _wait(run: FlowRun, problem: Problem, now: datetime) -> Decision:
    """Say what is missing, and end the run when it has been missing for too long."""
    deadline = pending_deadline(run)
    if deadline and now >= deadline:
        return runstatus.finish(run, Outcome(problem.reason, problem.message), now)
    return runstatus.waiting(run, problem, now, requeue_after=_POLL_SECONDS)


def _no_pod(job: JobState) -> Problem:
    what = "its Pod did not start" if job.has_pod else "it has no Pod"
    return Problem(
        Reason.PENDING_DEADLINE_EXCEEDED,
        f"Job {job.name} is there, but {what}. Look at: kubectl describe job {job.name}",
    )
