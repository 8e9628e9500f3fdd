"""The plan that the fetcher reads; docs/contracts.md describes it."""

import json
from typing import Any

from flow_operator.api.v1alpha1 import FlowDeploymentSpec, FlowRun
from flow_operator.core.runstate import pinned_revision

PLAN_VERSION = 1

_POD_MESSAGE_BUDGET = 12288
_CONTAINER_MESSAGE_BUDGET = 4096


def message_budget(containers: int) -> int:
    """Return how many bytes of termination message the kubelet keeps for each container.

    It keeps the last 4096 of each, and 12288 in a Pod, divided evenly.
    """
    return min(_CONTAINER_MESSAGE_BUDGET, _POD_MESSAGE_BUDGET // containers)


def build_plan(
    run: FlowRun, spec: FlowDeploymentSpec, *, attempt: int, containers: int
) -> dict[str, Any]:
    """Return the plan for one attempt of a run."""
    return {
        "version": PLAN_VERSION,
        "run": {
            "namespace": run.metadata.namespace,
            "name": run.metadata.name,
            "uid": run.metadata.uid,
            "deployment": run.spec.deployment_ref.name,
            "attempt": attempt,
        },
        "source": _source(spec),
        "revision": pinned_revision(run),
        "secretName": spec.source.secret_name(),
        "workingDirectory": spec.working_directory,
        "entrypoint": spec.entrypoint,
        "parameters": spec.parameters or {},
        "messageBudget": message_budget(containers),
    }


def encode_plan(plan: dict[str, Any]) -> str:
    """Return the plan as the text that the annotation holds."""
    return json.dumps(plan, separators=(",", ":"), ensure_ascii=False)


def _source(spec: FlowDeploymentSpec) -> dict[str, Any]:
    source = spec.source
    if source.chosen is None:
        raise ValueError("spec.source names no kind of source that this release knows")
    body, kind = source.chosen.to_manifest(), source.kind
    if kind == "git":
        body.setdefault("ref", {})
    body.pop("secretRef", None)
    return {"type": kind, kind: body}
