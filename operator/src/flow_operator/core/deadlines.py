"""Until when a run may wait, run, or be tried again; all of it from its snapshot and its status."""

from datetime import datetime, timedelta

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import FlowRun, Reason, find_condition
from flow_operator.api.v1alpha1.conditions import ConditionType
from flow_operator.api.v1alpha1.flowdeployment import DEFAULT_PENDING_DEADLINE_SECONDS
from flow_operator.api.v1alpha1.flowrun import Attempt
from flow_operator.api.v1alpha1.lifecycle import Backoff, Retries
from flow_operator.core import names
from flow_operator.core.durations import parse_duration

WAITED_FOR = frozenset({Reason.SECRET_NOT_FOUND})
"""Ends of an attempt that may heal: the run tries again until its pending deadline."""

MAX_DISRUPTIONS = 10
"""How often the cluster may take a run's Pod away before the run gives up."""

_LONGEST_WAIT = 60.0
_JITTER = 0.1


def retries_of(run: FlowRun) -> Retries | None:
    """Return what the run's snapshot says of retries."""
    found = (run.status.resolved_spec or {}).get("retries")
    try:
        return Retries.model_validate(found) if found else None
    except ValidationError:
        return None


def retry_time(run: FlowRun, attempt: Attempt, *, retries: int, disruptions: int) -> datetime:
    """Return when the attempt after this one is due.

    Args:
        run: The run.
        attempt: The attempt that ended.
        retries: How many retries there are, the next one included if it is one.
        disruptions: The same for disruptions.
    """
    if attempt.completion_time is None:
        raise ValueError(f"attempt {attempt.number} has not ended")
    if attempt.reason in WAITED_FOR:
        seconds = min(2.0 ** min(attempt.number, 10), _LONGEST_WAIT)
    elif attempt.reason == Reason.DISRUPTED:
        seconds = min(2.0**disruptions, _LONGEST_WAIT)
    else:
        seconds = _backoff(run, attempt, retries)
    return attempt.completion_time + timedelta(seconds=seconds)


def _backoff(run: FlowRun, attempt: Attempt, retries: int) -> float:
    spec = retries_of(run)
    backoff = (spec.backoff if spec else None) or Backoff()
    longest = parse_duration(backoff.max_duration)
    grown = parse_duration(backoff.duration) * float(backoff.factor) ** max(retries - 1, 0)
    spread = int(names.digest(run.metadata.uid, attempt.number, length=4), 16) / 0x10000
    return min(grown, longest) * (1.0 + _JITTER * spread)


def next_attempt_time(run: FlowRun, attempt: Attempt) -> datetime:
    """Return when the attempt after this one is due, by what is on record."""
    status = run.status
    return retry_time(
        run, attempt, retries=status.retries or 0, disruptions=status.disruptions or 0
    )


def pending_deadline(
    run: FlowRun, job_created: datetime | None = None, *, fetched: datetime | None = None
) -> datetime | None:
    """Return until when the run may wait for what is not there yet.

    A wait begins when the run starts, or with the attempt that follows one that got further;
    attempts that ended for want of something are one wait. What comes after the fetch (the image
    of the main container is pulled then) is a wait of its own.

    Args:
        run: The run.
        job_created: When the Job of the current attempt was created, if it was.
        fetched: When its fetch ended, if it did.
    """
    since = fetched or _waiting_since(run, job_created)
    return since + _pending(run) if since else None


def stalled_deadline(run: FlowRun) -> datetime | None:
    """Return until when a run that does not get on may do so yet; None: nobody says it does not."""
    stalled = find_condition(run.status.conditions, ConditionType.STALLED)
    return stalled.last_transition_time + _pending(run) if stalled else None


def _pending(run: FlowRun) -> timedelta:
    seconds = (run.status.resolved_spec or {}).get("pendingDeadlineSeconds")
    return timedelta(seconds=seconds or DEFAULT_PENDING_DEADLINE_SECONDS)


def _waiting_since(run: FlowRun, job_created: datetime | None) -> datetime | None:
    first = job_created
    for attempt in reversed(run.status.attempts or []):
        if attempt.completion_time is None:
            continue
        if attempt.reason not in WAITED_FOR:
            return first or next_attempt_time(run, attempt)
        first = attempt.start_time or first
    return run.status.start_time or run.metadata.creation_timestamp


def run_deadline(run: FlowRun) -> datetime | None:
    """Return when the run has to be over."""
    seconds = (run.status.resolved_spec or {}).get("activeDeadlineSeconds")
    if not seconds or run.status.start_time is None:
        return None
    return run.status.start_time + timedelta(seconds=seconds)


def attempt_seconds(run: FlowRun, now: datetime) -> int | None:
    """Return how long the Pod of an attempt that begins now may run."""
    own = (run.status.resolved_spec or {}).get("attemptDeadlineSeconds")
    whole = run_deadline(run)
    left = max(int((whole - now).total_seconds()), 1) if whole else None
    return min((seconds for seconds in (own, left) if seconds), default=None)
