"""What a FlowRun says of itself: where it is, its current attempt, its pin."""

from flow_operator.api.v1alpha1 import FlowRun, Phase
from flow_operator.api.v1alpha1.flowrun import Attempt


def is_finished(run: FlowRun) -> bool:
    """Tell whether the run has ended for good."""
    return run.status.completion_time is not None


def is_queued(run: FlowRun) -> bool:
    """Tell whether the run waits for other runs to end."""
    return run.status.phase == Phase.QUEUED


def is_started(run: FlowRun) -> bool:
    """Tell whether the run was let go ahead: it has Pods, or may have any moment."""
    return run.status.resolved_spec is not None and not is_queued(run)


def last_attempt(run: FlowRun) -> Attempt | None:
    """Return the newest attempt that the status knows."""
    return run.status.attempts[-1] if run.status.attempts else None


def current_attempt(run: FlowRun) -> int:
    """Return the number of the attempt whose Job exists or is to be created next."""
    last = last_attempt(run)
    if last is None:
        return 1
    return last.number + 1 if last.completion_time else last.number


def pinned_revision(run: FlowRun) -> str | None:
    """Return the revision that the next attempt must fetch: the one asked for, or the one seen."""
    return run.spec.revision or run.status.revision
