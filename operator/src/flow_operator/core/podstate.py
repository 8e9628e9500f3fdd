"""Where the Pod of an attempt stands, from its status alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flow_operator.api.v1alpha1 import Phase, Reason
from flow_operator.core.conditions import shorten
from flow_operator.core.job import FETCH, FLOW
from flow_operator.core.messages import FetchReport, FlowReport, read_fetch, read_flow

EXIT_ENTRYPOINT_NOT_FOUND = 220
EXIT_INVALID_PARAMETERS = 221

_PULL_PROBLEMS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
    }
)
_START_PROBLEMS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
_START_FAILURES = frozenset({"StartError", "ContainerCannotRun"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a Pod does not get on; it may heal by itself until the pending deadline."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    reason: Reason
    message: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the user's code ended well."""
        return self.reason is Reason.SUCCEEDED


@dataclass(frozen=True, slots=True)
class PodState:
    """What a Pod tells about its attempt.

    Attributes:
        phase: Pending, Fetching or Running; what it was last in once it has ended.
        problem: Why it does not get on, if it does not.
        fetch: The fetch container's report, once that has ended.
        flow: The main container's report, once that has ended.
        outcome: How the Pod ended, once it has.
        fetch_started, fetch_finished, flow_started, flow_finished: Times of the kubelet, whole
            seconds.
    """

    phase: Phase = Phase.PENDING
    problem: Problem | None = None
    fetch: FetchReport | None = None
    flow: FlowReport | None = None
    outcome: Outcome | None = None
    fetch_started: datetime | None = None
    fetch_finished: datetime | None = None
    flow_started: datetime | None = None
    flow_finished: datetime | None = None


def read_pod(pod: dict[str, Any]) -> PodState:
    """Return where the Pod stands."""
    status = pod.get("status") or {}
    name = pod["metadata"]["name"]
    fetch_state = _container_state(status.get("initContainerStatuses"), FETCH)
    flow_state = _container_state(status.get("containerStatuses"), FLOW)
    fetch_end, flow_end = fetch_state.get("terminated"), flow_state.get("terminated")
    fetch = _fetch_report(fetch_end) if fetch_end else None

    phase = Phase.PENDING
    if "running" in fetch_state or fetch_end:
        phase = Phase.FETCHING
    if "running" in flow_state or flow_end:
        phase = Phase.RUNNING

    return PodState(
        phase=phase,
        problem=_problem(status, fetch_state, flow_state),
        fetch=fetch,
        flow=read_flow(flow_end.get("message")) if flow_end else None,
        outcome=_outcome(name, status, fetch, flow_end),
        fetch_started=_time((fetch_state.get("running") or fetch_end or {}).get("startedAt")),
        fetch_finished=_time((fetch_end or {}).get("finishedAt")),
        flow_started=_time((flow_state.get("running") or flow_end or {}).get("startedAt")),
        flow_finished=_time((flow_end or {}).get("finishedAt")),
    )


def flow_outcome(pod: str, exit_code: int, kubelet_reason: str = "", detail: str = "") -> Outcome:
    """Return what an exit code of the main container means.

    Args:
        pod: Name of the Pod, for the remedy.
        exit_code: Exit code of the main container.
        kubelet_reason: What the kubelet calls the end, such as OOMKilled.
        detail: The kubelet's words, when it could not start the container.
    """
    log = f"Read the traceback: kubectl logs {pod} -c {FLOW}"
    if exit_code == 0:
        return Outcome(Reason.SUCCEEDED)
    if kubelet_reason == "OOMKilled":
        return Outcome(
            Reason.FLOW_OUT_OF_MEMORY,
            "The main container was killed for using more memory than its limit. Raise "
            "spec.resources.limits.memory.",
        )
    if kubelet_reason in _START_FAILURES:
        return Outcome(
            Reason.CONTAINER_START_FAILED,
            f"The main container could not be started: {shorten(detail, 512)} The image must have "
            "python3 (3.9 or newer) on its PATH, or spec.command must name a program of it.",
        )
    if exit_code == EXIT_ENTRYPOINT_NOT_FOUND:
        return Outcome(
            Reason.ENTRYPOINT_NOT_FOUND,
            f"The code has no function as spec.entrypoint names it. {log}",
        )
    if exit_code == EXIT_INVALID_PARAMETERS:
        return Outcome(
            Reason.INVALID_PARAMETERS,
            "The parameters do not fit the function: correct spec.parameters. "
            f"Which ones: kubectl logs {pod} -c {FLOW}",
        )
    return Outcome(Reason.FLOW_FAILED, f"The code ended with exit code {exit_code}. {log}")


def _outcome(
    name: str,
    status: dict[str, Any],
    fetch: FetchReport | None,
    flow_end: dict[str, Any] | None,
) -> Outcome | None:
    if status.get("phase") not in ("Succeeded", "Failed"):
        return None
    if status["phase"] == "Failed" and (disruption := condition_of(status, "DisruptionTarget")):
        return Outcome(
            Reason.DISRUPTED,
            f"The cluster took the Pod away ({disruption.get('reason', 'unknown')}): "
            f"{shorten(disruption.get('message', ''), 512)}",
        )
    if status["phase"] == "Failed" and status.get("reason") == "DeadlineExceeded":
        return Outcome(
            Reason.ATTEMPT_DEADLINE_EXCEEDED,
            "The attempt was stopped for it took longer than it may. Raise "
            "spec.attemptDeadlineSeconds, or spec.activeDeadlineSeconds if that is shorter.",
        )
    if fetch and not fetch.succeeded:
        return Outcome(fetch.reason, fetch.message)
    if flow_end:
        return flow_outcome(
            name,
            int(flow_end.get("exitCode", 1)),
            flow_end.get("reason", ""),
            flow_end.get("message", ""),
        )
    if status["phase"] == "Succeeded":
        return Outcome(Reason.SUCCEEDED)
    reason, message = status.get("reason", ""), shorten(status.get("message", ""), 512)
    return Outcome(Reason.POD_LOST, f"The Pod failed before its code ended: {reason} {message}")


def _fetch_report(end: dict[str, Any]) -> FetchReport:
    if end.get("reason") == "OOMKilled":
        return FetchReport(
            Reason.FETCH_OUT_OF_MEMORY,
            message=(
                "The fetch container was killed for using more memory than its limit. Raise "
                "spec.fetch.resources.limits.memory, or fetchResources in the operator's settings."
            ),
        )
    if end.get("reason") in _START_FAILURES:
        return FetchReport(
            Reason.CONTAINER_START_FAILED,
            message=(
                f"The fetch container could not be started: {shorten(end.get('message', ''), 512)} "
                "Check fetcherImage and fetcherFullImage in the operator's settings."
            ),
        )
    return read_fetch(end.get("message"), int(end.get("exitCode", 1)))


def _problem(
    status: dict[str, Any], fetch_state: dict[str, Any], flow_state: dict[str, Any]
) -> Problem | None:
    scheduled = condition_of(status, "PodScheduled", wanted="False")
    if scheduled and scheduled.get("reason") == "Unschedulable":
        return Problem(
            Reason.UNSCHEDULABLE,
            f"No node takes the Pod: {shorten(scheduled.get('message', ''), 512)}",
        )
    for container, state in ((FETCH, fetch_state), (FLOW, flow_state)):
        waiting = state.get("waiting") or {}
        reason, message = waiting.get("reason", ""), shorten(waiting.get("message", ""), 512)
        if reason in _PULL_PROBLEMS:
            return Problem(
                Reason.IMAGE_PULL_FAILED,
                f"The image of container {container} cannot be pulled: {message or reason}. Check "
                "its name and imagePullSecrets.",
            )
        if reason in _START_PROBLEMS:
            return Problem(
                Reason.CONTAINER_START_FAILED,
                f"Container {container} cannot be started: {message or reason}",
            )
    return None


def _container_state(statuses: list[dict[str, Any]] | None, name: str) -> dict[str, Any]:
    for status in statuses or []:
        if status.get("name") == name:
            state = status.get("state")
            return state if isinstance(state, dict) else {}
    return {}


def condition_of(
    status: dict[str, Any], kind: str, *, wanted: str = "True"
) -> dict[str, Any] | None:
    """Return the condition of a Pod or Job of that type, if it has that status."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == kind and condition.get("status") == wanted:
            return condition  # type: ignore[no-any-return]
    return None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
