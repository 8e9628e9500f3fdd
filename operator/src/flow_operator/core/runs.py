"""What to do about one FlowRun: take it up, make its next Job, follow that, end it."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun, Phase, Reason
from flow_operator.api.v1alpha1.flowrun import Attempt
from flow_operator.core import names, runstatus
from flow_operator.core.ahead import held_for
from flow_operator.core.concurrency import limit_of
from flow_operator.core.conditions import shorten
from flow_operator.core.deadlines import (
    MAX_DISRUPTIONS,
    WAITED_FOR,
    attempt_seconds,
    next_attempt_time,
    pending_deadline,
    retries_of,
    run_deadline,
    stalled_deadline,
)
from flow_operator.core.decision import (
    Action,
    CreateJob,
    Decision,
    DeleteRun,
    Refusal,
    SuspendJob,
)
from flow_operator.core.gate import (
    expired_in_queue,
    expiry_in_queue,
    held_by_deployment,
    read_deployment,
)
from flow_operator.core.invalid import parameters_problem, problems_of, tick_problem
from flow_operator.core.job import build_job
from flow_operator.core.jobstate import JobState, read_job, refused_pod
from flow_operator.core.podstate import Outcome, Problem
from flow_operator.core.resolve import as_told, resolve_spec, taken_up, told
from flow_operator.core.runstate import (
    current_attempt,
    is_finished,
    is_queued,
    is_started,
    last_attempt,
)
from flow_operator.core.settings import Settings

_POLL_SECONDS = 5.0
_QUEUE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RunView:
    """All that a decision about a run depends on, as the API server has it.

    Attributes:
        raw: The FlowRun.
        deployment: The FlowDeployment that it names, if that exists.
        job: The Job of its current attempt (`current_attempt`), if that exists.
        pods: The Pods of that Job.
        events: Events about that Job, read when it has no Pod for a while.
        held: Why the operator as a whole has no room for the run yet, if it has none.
    """

    raw: dict[str, Any]
    deployment: dict[str, Any] | None = None
    job: dict[str, Any] | None = None
    pods: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
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
    if run.metadata.deletion_timestamp:
        return Decision()
    if is_finished(run):
        return _tidy_up(run, now)
    if view.job is not None:
        return _follow(as_told(run, view.job), view, read_job(view.job, view.pods), now)
    if run.spec.cancel:
        when = "between two attempts" if run.status.attempts else "before it ran"
        return runstatus.finish(run, _cancelled(run, when), now)
    if tick := held_for(run, view.deployment):
        return Decision(requeue_after=max((tick - now).total_seconds(), 0.0) + _POLL_SECONDS)
    if run.status.resolved_spec is None:
        return _take_up(run, view, now, settings, refusal)
    if is_queued(run):
        return _queue(run, view, now)
    return _next_job(run, now, settings, refusal)


def needs_room(view: RunView) -> bool:
    """Tell whether a run takes room of the operator as a whole, or would if there is any."""
    try:
        run = FlowRun.model_validate(view.raw)
    except ValidationError:
        return False
    if is_finished(run):
        return False
    if is_started(run):
        return True
    deployment = _deployment_of(run, view)
    return not (
        run.metadata.deletion_timestamp
        or run.spec.cancel
        or deployment is None
        or held_for(run, deployment)
        or held_by_deployment(run, deployment)
    )


def first_job(
    run: FlowRun, deployment: dict[str, Any], now: datetime, settings: Settings
) -> CreateJob | None:
    """Return the first Job of a run that is let begin now, unless something else comes before it.

    Whatever that is, and that the Job is refused, is for the decision about the run to say.
    """
    if run.metadata.deletion_timestamp or run.spec.cancel:
        return None
    decision = _take_up(run, RunView({}, deployment), now, settings, None)
    action = decision.actions[0] if decision.actions else None
    return replace(action, optional=True) if isinstance(action, CreateJob) else None


def _tidy_up(run: FlowRun, now: datetime) -> Decision:
    """Delete a run that says when; those of the operator are their deployment's business."""
    ttl, ended = run.spec.ttl_seconds_after_finished, run.status.completion_time
    if ttl is None or ended is None or run.metadata.controller():
        return Decision()
    left = (ended + timedelta(seconds=ttl) - now).total_seconds()
    if left > 0:
        return Decision(requeue_after=left)
    return Decision((DeleteRun(run.metadata.name, run.metadata.uid),))


def _take_up(
    run: FlowRun, view: RunView, now: datetime, settings: Settings, refusal: Refusal | None
) -> Decision:
    """Make the snapshot that every Job of the run is built from, and where nothing counts the runs
    that have started, the first Job at once: it tells the snapshot until the status does."""
    raw, name = _deployment_of(run, view), run.spec.deployment_ref.name
    if raw is None:
        return _wait(run, _missing(run), now)
    try:
        deployment = FlowDeployment.model_validate(raw)
        snapshot = resolve_spec(deployment, run, settings)
        problems = parameters_problem(snapshot.get("parameters")) + tick_problem(run)
    except ValidationError as error:
        problems = [f"FlowDeployment {name}: {problem}" for problem in problems_of(error)]
        snapshot = {}
    if problems:
        return runstatus.finish(run, Outcome(Reason.INVALID_SPEC, "; ".join(problems)), now)
    taken = taken_up(run, snapshot, now)
    expiry = expiry_in_queue(taken, deployment)
    if expiry and now > expiry:  # made in time, and nobody has looked at it until now
        return runstatus.finish(run, expired_in_queue(), now)
    counted = settings.limits_runs or limit_of(deployment) is not None
    text = None if counted else told(snapshot)
    if text is None:
        return runstatus.take_up(run, snapshot, now, held=_held(run, raw, view))
    return _next_job(taken, now, settings, refusal, text)


def _queue(run: FlowRun, view: RunView, now: datetime) -> Decision:
    """Let a run go ahead once there is room for it."""
    raw = _deployment_of(run, view)
    if raw is None:
        return _abandoned(run, now)
    expiry = expiry_in_queue(run, read_deployment(raw))
    if expiry and now >= expiry:
        return runstatus.finish(run, expired_in_queue(), now)
    held = _held(run, raw, view)
    if held is None:
        return runstatus.let_go(run, now)
    wait = min((expiry - now).total_seconds(), _QUEUE_SECONDS) if expiry else _QUEUE_SECONDS
    return runstatus.queued(run, held, now, requeue_after=wait)


def _held(run: FlowRun, raw: dict[str, Any], view: RunView) -> Problem | None:
    room = Problem(Reason.QUEUED, view.held) if view.held else None
    return held_by_deployment(run, raw) or room


def _abandoned(run: FlowRun, now: datetime) -> Decision:
    """Wait in the queue for a deployment to come back, as long as for whatever is not there."""
    missing, deadline = _missing(run), stalled_deadline(run)
    if deadline and now >= deadline:
        return runstatus.finish(run, Outcome(missing.reason, missing.message), now)
    left = (deadline - now).total_seconds() if deadline else _QUEUE_SECONDS
    return runstatus.abandoned(run, missing, now, requeue_after=min(left, _QUEUE_SECONDS))


def _deployment_of(run: FlowRun, view: RunView) -> dict[str, Any] | None:
    """Return the deployment that a run belongs to; another one that has its name is none."""
    owner, raw = run.metadata.controller(), view.deployment
    return raw if raw and (owner is None or owner.uid == raw["metadata"]["uid"]) else None


def _missing(run: FlowRun) -> Problem:
    return Problem(
        Reason.DEPLOYMENT_NOT_FOUND,
        f"spec.deploymentRef.name: there is no FlowDeployment {run.spec.deployment_ref.name!r} in "
        f"namespace {run.metadata.namespace!r}",
    )


def _next_job(
    run: FlowRun,
    now: datetime,
    settings: Settings,
    refusal: Refusal | None,
    snapshot: str | None = None,
) -> Decision:
    last = last_attempt(run)
    if last and last.completion_time is None:
        lost = Outcome(
            Reason.JOB_DELETED,
            f"Job {last.job_name} was deleted before it ended. Create another FlowRun to run again",
        )
        return runstatus.finish(run, lost, now)
    if _is_over(run, now):
        return runstatus.finish(run, _out_of_time(run), now)
    if refusal:
        if refusal.final:
            return runstatus.finish(run, Outcome(Reason(refusal.reason), refusal.message), now)
        return _wait(run, Problem(Reason(refusal.reason), refusal.message), now)
    if last:
        deadline = pending_deadline(run)
        if last.reason in WAITED_FOR and deadline and now >= deadline:
            return runstatus.finish(run, Outcome(Reason(last.reason), last.message or ""), now)
        due = next_attempt_time(run, last)
        if now < due:
            return Decision(requeue_after=(due - now).total_seconds())
    try:
        seconds = attempt_seconds(run, now)
        job = build_job(run, current_attempt(run), settings, seconds=seconds, snapshot=snapshot)
    except (ValidationError, ValueError) as error:
        problem = f"status.resolvedSpec cannot be read by this release: {error}"
        return runstatus.finish(run, Outcome(Reason.INVALID_SPEC, problem), now)
    return Decision((CreateJob(job),))


def _follow(run: FlowRun, view: RunView, job: JobState, now: datetime) -> Decision:
    """Bring the status up to what Job and Pod say, and end or retry the run when they ended."""
    attempt = runstatus.observed_attempt(run, job)
    if job.outcome:
        return _ended(run, attempt, job, job.outcome, now)
    if run.spec.cancel:
        return _stopping(run, attempt, job, _cancelled(run, "while it ran"), now)
    if _is_over(run, now):
        return _stopping(run, attempt, job, _out_of_time(run), now)

    deadline = pending_deadline(run, job.created, fetched=job.pod.fetch_finished)
    problem = job.problem or refused_pod(job, view.events)
    stuck = problem or (_no_pod(job) if job.phase is Phase.PENDING and not job.ending else None)
    if stuck and deadline and now >= deadline:
        reason = problem.reason if problem else Reason.PENDING_DEADLINE_EXCEEDED
        outcome = Outcome(reason, f"{stuck.message} (waited for spec.pendingDeadlineSeconds)")
        return runstatus.finish(run, outcome, now, attempt=attempt, before=_stop(job))
    ends = [end for end in (deadline if stuck else None, run_deadline(run)) if end]
    remaining = min(((end - now).total_seconds() for end in ends), default=None)
    return runstatus.progress(run, attempt, job.phase, problem, now, requeue_after=remaining)


def _ended(
    run: FlowRun, attempt: Attempt, job: JobState, outcome: Outcome, now: datetime
) -> Decision:
    """End the run with its attempt, unless another attempt may end better."""
    result = job.result if outcome.succeeded else None
    if outcome.succeeded:
        return runstatus.finish(run, outcome, now, attempt=attempt, result=result)
    if run.spec.cancel:
        outcome = _cancelled(run, "while it ran")
    elif _is_over(run, now):
        if job.suspended or outcome.reason is Reason.ATTEMPT_DEADLINE_EXCEEDED:
            outcome = _out_of_time(run)
    elif again := _again(run, attempt, job, outcome, now):
        return again
    return runstatus.finish(run, outcome, now, attempt=attempt)


def _again(
    run: FlowRun, attempt: Attempt, job: JobState, outcome: Outcome, now: datetime
) -> Decision | None:
    """Return the decision to try again, if that is what is to be done."""
    if outcome.reason in WAITED_FOR:
        deadline = pending_deadline(run, job.created)
        if deadline and now < deadline:
            return runstatus.retry(run, attempt, outcome, now)
    if outcome.reason is Reason.DISRUPTED:
        count = (run.status.disruptions or 0) + 1
        if count <= MAX_DISRUPTIONS:
            return runstatus.retry(run, attempt, outcome, now, disruptions=count)
    spec, count = retries_of(run), (run.status.retries or 0) + 1
    if spec and count <= spec.limit and spec.covers(outcome.reason):
        return runstatus.retry(run, attempt, outcome, now, retries=count)
    return None


def _stopping(
    run: FlowRun, attempt: Attempt, job: JobState, outcome: Outcome, now: datetime
) -> Decision:
    """Stop the Pod, which has its grace period, and end the run once it is gone."""
    if job.suspended and not job.has_pod:
        return runstatus.finish(run, outcome, now, attempt=attempt)
    stopping = Problem(outcome.reason, "Stopping: waiting for the Pod to end")
    return runstatus.progress(
        run, attempt, job.phase, stopping, now, before=_stop(job), requeue_after=_POLL_SECONDS
    )


def _is_over(run: FlowRun, now: datetime) -> bool:
    deadline = run_deadline(run)
    return deadline is not None and now >= deadline


def _out_of_time(run: FlowRun) -> Outcome:
    last = last_attempt(run)
    before = f" The last attempt had ended: {last.message}" if last and last.message else ""
    return Outcome(
        Reason.DEADLINE_EXCEEDED,
        f"The run took longer than spec.activeDeadlineSeconds allows. Raise that.{before}",
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
