"""Where the Job of an attempt stands, together with its Pod."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flow_operator.api.v1alpha1 import Phase, Reason
from flow_operator.core.conditions import shorten
from flow_operator.core.podstate import Outcome, PodState, Problem, condition_of, read_pod

_ENDING = ("FailureTarget", "SuccessCriteriaMet")
"""What the Job controller says of a Job before it says that it has ended."""


@dataclass(frozen=True, slots=True)
class JobState:
    """One attempt as the cluster shows it.

    Attributes:
        name, uid, created: Identity of the Job.
        suspended: Whether the Job is told to have no Pods.
        ending: Whether the Job controller has said that the Job ends, and how it ended is to come.
        pod_name, pod_uid: Identity of its newest Pod, if it has one.
        pod: Where that Pod stands; a Pod that nobody has seen is Pending.
        outcome: How the attempt ended, once it has.
    """

    name: str
    uid: str
    created: datetime
    suspended: bool
    ending: bool
    pod_name: str | None
    pod_uid: str | None
    pod: PodState
    outcome: Outcome | None

    @property
    def has_pod(self) -> bool:
        """Whether the Job has a Pod, if only one that is about to go."""
        return self.pod_name is not None

    @property
    def phase(self) -> Phase:
        """The phase of the attempt while it has not ended."""
        return self.pod.phase

    @property
    def problem(self) -> Problem | None:
        """Why the Pod does not get on, if it does not."""
        return self.pod.problem

    @property
    def result(self) -> Any:
        """What the user's function returned, as far as it is known."""
        return self.pod.flow.result if self.pod.flow else None


def read_job(job: dict[str, Any], pods: list[dict[str, Any]]) -> JobState:
    """Return where an attempt stands."""
    meta, status = job["metadata"], job.get("status") or {}
    newest = max(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), default=None)
    state = read_pod(newest) if newest else PodState()
    return JobState(
        name=meta["name"],
        uid=meta["uid"],
        created=datetime.fromisoformat(meta["creationTimestamp"]),
        suspended=bool(job.get("spec", {}).get("suspend")),
        ending=any(condition_of(status, kind) for kind in _ENDING),
        pod_name=newest["metadata"]["name"] if newest else None,
        pod_uid=newest["metadata"]["uid"] if newest else None,
        pod=state,
        outcome=state.outcome or _job_outcome(status),
    )


def _job_outcome(status: dict[str, Any]) -> Outcome | None:
    """Return how the Job ended, for when its Pod can no longer tell."""
    for condition in status.get("conditions") or []:
        if condition.get("status") != "True":
            continue
        if condition.get("type") == "Complete":
            return Outcome(Reason.SUCCEEDED)
        if condition.get("type") == "Failed" and condition.get("reason") == "PodFailurePolicy":
            return Outcome(
                Reason.DISRUPTED,
                f"The cluster took the Pod away: {shorten(condition.get('message', ''), 512)}",
            )
        if condition.get("type") == "Failed":
            return Outcome(
                Reason.POD_LOST,
                "The Pod is gone without having said how it ended "
                f"({condition.get('reason', '')}: {shorten(condition.get('message', ''), 512)})",
            )
    return None


def refused_pod(job: JobState, events: list[dict[str, Any]]) -> Problem | None:
    """Return why a Job has no Pod, in the words of whoever refused it.

    The Job's own status does not say; the Job controller tells it in Events alone.
    """
    if job.has_pod or job.suspended:
        return None
    failed = [
        event
        for event in events
        if event.get("reason") == "FailedCreate" and event.get("type") == "Warning"
    ]
    newest = max(failed, key=_event_time, default=None)
    if newest is None:
        return None
    return Problem(
        Reason.ADMISSION_DENIED,
        f"The Pod is refused: {shorten(newest.get('message', ''), 1024)}",
    )


def _event_time(event: dict[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
