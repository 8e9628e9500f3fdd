"""The cluster with everything that a first run needs: operator, servers, a restricted namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, choose, ensure, release
from tests.e2e.kube import Namespace, wait_for
from tests.e2e.servers import Servers

OPERATOR_NAMESPACE = release.NAMESPACE
RELEASE = release.RELEASE


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster with the images of the working tree; stopped again if it was down."""
    provider = choose()
    kept = all(state not in ("stopped", "not ready") for state in provider.status().values())
    yield ensure()
    if not kept:
        provider.down()


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> str:
    """The operator, installed by the Helm chart; returns its namespace."""
    return release.install(cluster, logLevel="debug")


@pytest.fixture(scope="module")
def exclusive(cluster: Cluster, operator: str) -> Iterator[Cluster]:
    """The cluster without the operator that other tests use; it comes back afterwards."""
    deployment = f"deployment/{RELEASE}"
    replicas = cluster.run("-n", operator, "get", deployment, "-o", "jsonpath={.spec.replicas}")
    pods = ("-n", operator, "get", "pods", "-l", f"app.kubernetes.io/name={RELEASE}", "-o", "name")
    cluster.run("-n", operator, "scale", deployment, "--replicas=0")
    wait_for(lambda: None if cluster.run(*pods).strip() else "gone", 60, "the operator to go")
    yield cluster
    cluster.run("-n", operator, "scale", deployment, f"--replicas={replicas}")
    cluster.run("-n", operator, "rollout", "status", deployment, "--timeout=120s")


@pytest.fixture(scope="session")
def servers(cluster: Cluster) -> Servers:
    """A git server over HTTPS and an S3 server, as Pods."""
    return Servers.start(cluster)


@pytest.fixture(scope="module")
def namespace(
    cluster: Cluster, operator: str, request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    """A namespace of the module's own that enforces the restricted Pod Security Standard."""
    stem = Path(request.node.name).stem.removeprefix("test_").replace("_", "-")
    made = Namespace.create(cluster, f"e2e-{stem}")
    yield made
    made.delete()
