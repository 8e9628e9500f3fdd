"""What the queue holds: names of objects to look at, and which of them an event is about."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flow_operator.core import names

_END = {
    "Succeeded",
    "Failed",
    "Complete",
    "SuccessCriteriaMet",
    "FailureTarget",
    "DisruptionTarget",
}
"""Phases and conditions of a Job or Pod with which it ends, or is about to."""


class Key(NamedTuple):
    """A FlowDeployment or a FlowRun to look at."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def deployment_key(namespace: str, name: str) -> Key:
    """Return the key of a FlowDeployment."""
    return Key("FlowDeployment", namespace, name)


def run_key(namespace: str, name: str) -> Key:
    """Return the key of a FlowRun."""
    return Key("FlowRun", namespace, name)


class Concern(NamedTuple):
    """What a change is about.

    Attributes:
        now: To look at soon.
        later: To look at once there is less to do: it is only to be put on record there.
        over: UID of a run that has ended or is gone, which needs no look for that.
    """

    now: tuple[Key, ...] = ()
    later: tuple[Key, ...] = ()
    over: str = ""


def keys_of_deployment(deployment: Mapping[str, Any]) -> Concern:
    """Return what a change of a FlowDeployment is about: itself, and the runs that it lets go."""
    meta = deployment["metadata"]
    policy = (deployment.get("spec") or {}).get("concurrencyPolicy", "Allow")
    active = (deployment.get("status") or {}).get("active") or [] if policy != "Allow" else ()
    runs = (run_key(meta["namespace"], run["name"]) for run in active)
    return Concern((deployment_key(meta["namespace"], meta["name"]), *runs))


def keys_of_run(run: Mapping[str, Any]) -> Concern:
    """Return what a change of a FlowRun is about: itself unless it is done with, its deployment."""
    meta, spec = run["metadata"], run.get("spec") or {}
    ended = (run.get("status") or {}).get("completionTime")
    own = run_key(meta["namespace"], meta["name"])
    name = (spec.get("deploymentRef") or {}).get("name")
    deployment = (deployment_key(meta["namespace"], name),) if name else ()
    if not ended:
        return Concern((own,), deployment)
    now = (own, *deployment) if "ttlSecondsAfterFinished" in spec else deployment
    return Concern(now, over=str(meta["uid"]))


def keys_of_child(child: Mapping[str, Any]) -> Concern:
    """Return the FlowRun that a Job or Pod of ours belongs to.

    Until that has ended, it only says how far the run is.
    """
    meta = child["metadata"]
    run = (meta.get("annotations") or {}).get(names.ANNOTATION_RUN)
    if run and (meta.get("labels") or {}).get(names.LABEL_MANAGED_BY) == names.MANAGER:
        keys = (run_key(meta["namespace"], run),)
        return Concern(keys) if _has_ended(child) else Concern(later=keys)
    return Concern()


def _has_ended(child: Mapping[str, Any]) -> bool:
    """Tell whether a Job or Pod says that it has ended, or is about to."""
    status = child.get("status") or {}
    said = {condition.get("type") for condition in status.get("conditions") or []}
    return bool(_END & {status.get("phase"), *said})
