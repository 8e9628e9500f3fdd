"""What is kept of an object: what decisions are made of, as compact JSON, and what finds it.

A FlowDeployment of 10 kB in kubectl's JSON is about 1 kB here, a Pod less. What was cut can
never be lost by it: a status is replaced as a whole, and nothing else of an object is written back.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from flow_operator.core.names import ANNOTATION_PLAN, ANNOTATION_SNAPSHOT
from flow_operator.core.schedules import edits_of
from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, Resource
from flow_operator.shell.keys import Concern, keys_of_child, keys_of_deployment, keys_of_run

Manifest = Mapping[str, Any]


class Record(NamedTuple):
    """An object as it is kept.

    Attributes:
        kind, namespace, name, uid: Which it is.
        version: Its resourceVersion. The API promises that those of a kind grow.
        body: The object without that, as JSON.
        group: What it is also found by: the deployment of a run, the Job of a Pod.
        open: Whether it is a FlowRun that has not ended.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    version: int
    body: bytes
    group: str
    open: bool

    def manifest(self) -> dict[str, Any]:
        """Return the object."""
        found: dict[str, Any] = from_json(self.body)
        found["metadata"]["resourceVersion"] = str(self.version)
        return found


def record_of(resource: Resource, manifest: Manifest) -> tuple[Record, Concern]:
    """Return what to keep of an object, and what its change is about."""
    trim, group, concern = _KINDS[resource.kind]
    meta = manifest["metadata"]
    status = manifest.get("status") or {}
    record = Record(
        resource.kind,
        meta["namespace"],
        meta["name"],
        meta["uid"],
        version_of(manifest),
        to_json(trim(manifest)),
        group(manifest),
        resource.kind == FLOW_RUNS.kind and not status.get("completionTime"),
    )
    return record, concern(manifest)


def version_of(manifest: Manifest) -> int:
    """Return the resourceVersion of an object or list as the number that it is."""
    return int(manifest["metadata"]["resourceVersion"])


def controller_uid(manifest: Manifest) -> str | None:
    """Return the UID of the object that controls this one."""
    for owner in manifest["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return str(owner.get("uid"))
    return None


def _trim_deployment(manifest: Manifest) -> dict[str, Any]:
    meta = _meta(manifest)
    # When it was edited is told by nothing else.
    meta["managedFields"] = [{"time": time} for time in edits_of(manifest)]
    return {"metadata": meta} | _parts(manifest, "spec", "status")


def _trim_run(manifest: Manifest) -> dict[str, Any]:
    trimmed = {"metadata": _meta(manifest)} | _parts(manifest, "spec", "status")
    if (trimmed.get("status") or {}).get("completionTime"):
        # It is only counted, quoted and deleted from now on.
        trimmed["spec"] = _without(trimmed["spec"], "parameters", "env")
        trimmed["status"] = _without(trimmed["status"], "resolvedSpec", "attempts", "result")
    return trimmed


def _trim_job(manifest: Manifest) -> dict[str, Any]:
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    meta = _meta(manifest)
    if status.get("conditions") and "annotations" in meta:
        # By now it is on record with the run, as a rule; else the Job is read.
        meta["annotations"] = _without(meta["annotations"], ANNOTATION_SNAPSHOT)
    return {
        "metadata": meta,
        "spec": {"suspend": spec.get("suspend", False)},
        "status": {"conditions": status.get("conditions") or []},
    }


def _trim_pod(manifest: Manifest) -> dict[str, Any]:
    status = manifest.get("status") or {}
    kept = {key: status[key] for key in ("phase", "reason", "message") if key in status}
    kept["conditions"] = [
        condition
        for condition in status.get("conditions") or []
        if condition.get("type") in ("PodScheduled", "DisruptionTarget")
    ]
    for key in ("initContainerStatuses", "containerStatuses"):
        kept[key] = [
            {"name": container.get("name"), "state": container.get("state")}
            for container in status.get(key) or []
        ]
    return {"metadata": _meta(manifest), "status": kept}


_META = ("name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp",
         "labels", "annotations", "ownerReferences")  # fmt: skip
_FOREIGN = ("kubectl.kubernetes.io/last-applied-configuration", ANNOTATION_PLAN)
"""Annotations that nothing is decided on, and that are as long as the object."""


def _meta(manifest: Manifest) -> dict[str, Any]:
    meta = manifest["metadata"]
    kept = {key: meta[key] for key in _META if key in meta}
    if annotations := kept.get("annotations"):
        kept["annotations"] = _without(annotations, *_FOREIGN)
    return kept


def _parts(manifest: Manifest, *names: str) -> dict[str, Any]:
    return {name: manifest[name] for name in names if name in manifest}


def _without(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in names}


def _no_group(_: Manifest) -> str:
    return ""


def _deployment_name(run: Manifest) -> str:
    return str(((run.get("spec") or {}).get("deploymentRef") or {}).get("name") or "")


def _job_uid(pod: Manifest) -> str:
    return controller_uid(pod) or ""


_KINDS: dict[str, tuple[Callable[..., Any], Callable[..., str], Callable[..., Concern]]] = {
    FLOW_DEPLOYMENTS.kind: (_trim_deployment, _no_group, keys_of_deployment),
    FLOW_RUNS.kind: (_trim_run, _deployment_name, keys_of_run),
    JOBS.kind: (_trim_job, _no_group, keys_of_child),
    PODS.kind: (_trim_pod, _job_uid, keys_of_child),
}
