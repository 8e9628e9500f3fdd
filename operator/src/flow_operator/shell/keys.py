"""What the queue holds: names of objects to look at, and which of them an event is about."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flow_operator.core import names


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


def keys_of_deployment(deployment: Mapping[str, Any]) -> Iterator[Key]:
    """Yield what a change of a FlowDeployment is about: itself, and the runs that it lets go."""
    meta = deployment["metadata"]
    yield deployment_key(meta["namespace"], meta["name"])
    policy = (deployment.get("spec") or {}).get("concurrencyPolicy", "Allow")
    for run in (deployment.get("status") or {}).get("active") or [] if policy != "Allow" else ():
        yield run_key(meta["namespace"], run["name"])


def keys_of_run(run: Mapping[str, Any]) -> Iterator[Key]:
    """Yield what a change of a FlowRun is about: itself unless it is done with, its deployment."""
    meta = run["metadata"]
    ended = (run.get("status") or {}).get("completionTime")
    if not ended or (run.get("spec") or {}).get("ttlSecondsAfterFinished") is not None:
        yield run_key(meta["namespace"], meta["name"])
    deployment = ((run.get("spec") or {}).get("deploymentRef") or {}).get("name")
    if deployment:
        yield deployment_key(meta["namespace"], deployment)


def keys_of_child(child: Mapping[str, Any]) -> Iterator[Key]:
    """Yield the FlowRun that a Job or Pod of ours belongs to."""
    meta = child["metadata"]
    run = (meta.get("annotations") or {}).get(names.ANNOTATION_RUN)
    if run and (meta.get("labels") or {}).get(names.LABEL_MANAGED_BY) == names.MANAGER:
        yield run_key(meta["namespace"], run)
