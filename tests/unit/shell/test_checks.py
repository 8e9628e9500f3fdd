"""What is missing is named with its remedy, before anything is tried."""

from __future__ import annotations

from typing import Any, cast

import pytest

from flow_operator.shell.checks import PERMISSIONS, missing
from flow_operator.shell.cluster import Cluster
from flow_operator.shell.config import LeaseConfig
from flow_operator.shell.errors import NotFoundError


class Server:
    """Stands for an API server that serves some kinds and lets some things be done."""

    def __init__(self, kinds: list[str], denied: set[tuple[str, str, str | None]]) -> None:
        self.kinds = kinds
        self.denied = denied

    async def read(self, path: str) -> dict[str, Any]:
        if path == "/version":
            return {}
        if not self.kinds:
            raise NotFoundError(path)
        return {"resources": [{"name": kind} for kind in self.kinds]}

    async def may(
        self, verb: str, group: str, resource: str, namespace: str | None, name: str = ""
    ) -> bool:
        return (verb, f"{resource}/{name}" if name else resource, namespace) not in self.denied


def server(kinds: list[str], *denied: tuple[str, str, str | None]) -> Cluster:
    return cast("Cluster", Server(kinds, set(denied)))


BOTH = ["flowdeployments", "flowdeployments/status", "flowruns", "flowruns/status"]


async def test_nothing_is_missing() -> None:
    assert await missing(server(BOTH), [None]) == []


@pytest.mark.parametrize("kinds", [[], ["flowdeployments"]])
async def test_missing_crds_come_first(kinds: list[str]) -> None:
    denied = ("get", "flowruns", None)
    found = await missing(server(kinds, denied), [None])
    assert found == ["The CRDs are not installed: kubectl apply -f crds/"]


async def test_missing_rights_are_named_with_verb_resource_and_namespace() -> None:
    denied = [("list", "pods", "a"), ("create", "jobs", "b"), ("patch", "jobs", "b")]
    assert await missing(server(BOTH, *denied), ["a", "b"]) == [
        "RBAC: the operator may not list pods in namespace a",
        "RBAC: the operator may not create, patch jobs of batch in namespace b",
    ]


async def test_missing_rights_in_the_whole_cluster() -> None:
    denied = ("update", "flowruns/status", None)
    assert await missing(server(BOTH, denied), [None]) == [
        "RBAC: the operator may not update flowruns/status of flow-operator.io in all namespaces"
    ]


async def test_missing_rights_on_the_lease_are_named() -> None:
    """They are asked for that one Lease, in its own namespace."""
    lease = LeaseConfig("system", "operator")
    denied = [("create", "leases/operator", "system"), ("update", "leases/operator", "system")]
    assert await missing(server(BOTH, *denied), [None]) == []
    assert await missing(server(BOTH, *denied), [None], lease) == [
        "RBAC: the operator may not create, update Lease system/operator"
    ]
    assert await missing(server(BOTH), [None], lease) == []


def test_no_right_is_asked_for_secrets() -> None:
    assert all("secrets" not in resource for _, resource in PERMISSIONS)
