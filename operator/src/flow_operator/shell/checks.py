"""What must be there before the operator can work, and what to do when it is not."""

import asyncio
from collections.abc import Iterable

from flow_operator.api.v1alpha1 import API_VERSION, GROUP
from flow_operator.shell.cluster import LEASES, WATCHED, Cluster
from flow_operator.shell.config import LeaseConfig
from flow_operator.shell.errors import NotFoundError

PERMISSIONS: dict[tuple[str, str], tuple[str, ...]] = {
    (GROUP, "flowdeployments"): ("get", "list", "watch"),
    (GROUP, "flowdeployments/status"): ("update",),
    (GROUP, "flowruns"): ("get", "list", "watch", "create", "patch", "delete"),
    (GROUP, "flowruns/status"): ("update",),
    ("batch", "jobs"): ("get", "list", "watch", "create", "patch"),
    ("", "pods"): ("list", "watch"),
    ("", "events"): ("list", "create"),
}
"""All that the operator does, by API group and resource. It has no use for anything else."""

LEASE_VERBS = ("get", "create", "update")
"""What it does with its own Lease, when there is one."""


async def missing(
    cluster: Cluster, namespaces: Iterable[str | None], lease: LeaseConfig | None = None
) -> list[str]:
    """Return what is missing, one line each; nothing when the operator can work.

    Raises:
        ClusterError: The API server cannot be asked.
    """
    await cluster.read("/version")
    try:
        served = await cluster.read(f"/apis/{API_VERSION}")
    except NotFoundError:
        served = {}
    kinds = {resource.get("name") for resource in served.get("resources") or []}
    if any(
        resource.plural not in kinds for resource in WATCHED if resource.api_version == API_VERSION
    ):
        return ["The CRDs are not installed: kubectl apply -f crds/"]
    lines = [line for namespace in namespaces for line in await _denied(cluster, namespace)]
    return lines + (await _denied_lease(cluster, lease) if lease else [])


async def _denied(cluster: Cluster, namespace: str | None) -> list[str]:
    """Return a line for each resource of which the operator may not do all that it must."""
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    lines = []
    for (group, resource), verbs in PERMISSIONS.items():
        allowed = await asyncio.gather(
            *(cluster.may(verb, group, resource, namespace) for verb in verbs)
        )
        if not all(allowed):
            name = f"{resource} of {group}" if group else resource
            lines.append(f"RBAC: the operator may not {_denied_of(verbs, allowed)} {name} {where}")
    return lines


async def _denied_lease(cluster: Cluster, lease: LeaseConfig) -> list[str]:
    allowed = await asyncio.gather(
        *(
            cluster.may(verb, LEASES.group, LEASES.plural, lease.namespace, lease.name)
            for verb in LEASE_VERBS
        )
    )
    if all(allowed):
        return []
    return [f"RBAC: the operator may not {_denied_of(LEASE_VERBS, allowed)} {lease}"]


def _denied_of(verbs: Iterable[str], allowed: Iterable[bool]) -> str:
    return ", ".join(verb for verb, yes in zip(verbs, allowed, strict=True) if not yes)
