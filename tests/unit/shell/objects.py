"""Objects as an API server shows them, as small as the store needs them."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]

TIME = "2026-11-23T06:00:00Z"


def meta(name: str, version: int, **more: Any) -> Manifest:
    return {
        "name": name,
        "namespace": "data",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "creationTimestamp": TIME,
        **more,
    }


def owned_by(kind: str, name: str) -> list[Manifest]:
    return [{"kind": kind, "name": name, "uid": f"uid-{name}", "controller": True,
             "apiVersion": "v1"}]  # fmt: skip


def deployment(name: str = "etl", version: int = 1, **spec: Any) -> Manifest:
    source = {"git": {"url": "https://git.example/flows.git"}}
    spec = {"source": source, "entrypoint": "flow.py:main", **spec}
    return {"metadata": meta(name, version, generation=1), "spec": spec}


def run(name: str = "etl-1", version: int = 1, of: str = "etl", **status: Any) -> Manifest:
    return {
        "metadata": meta(name, version, ownerReferences=owned_by("FlowDeployment", of)),
        "spec": {"deploymentRef": {"name": of}},
        "status": status,
    }


def job(name: str, version: int, of: str, *conditions: str, **spec: Any) -> Manifest:
    labels = {"app.kubernetes.io/managed-by": "flow-operator"}
    annotations = {"flow-operator.io/run": of}
    owners = owned_by("FlowRun", of)
    found = [{"type": kind, "status": "True"} for kind in conditions]
    return {
        "metadata": meta(
            name, version, ownerReferences=owners, labels=labels, annotations=annotations
        ),
        "spec": spec,
        "status": {"conditions": found},
    }


def pod(name: str, version: int, of: str, phase: str) -> Manifest:
    return {
        "metadata": meta(name, version, ownerReferences=owned_by("Job", of)),
        "spec": {"containers": [{"name": "flow", "image": "x"}]},
        "status": {"phase": phase},
    }
