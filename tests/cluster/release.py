"""Installs the operator of the working tree by its Helm chart."""

from __future__ import annotations

from tests.cluster.paths import REPOSITORY
from tests.cluster.provider import Cluster

NAMESPACE = "flow-operator-system"
RELEASE = "flow-operator"


def install(cluster: Cluster, **values: str) -> str:
    """Install it, or what was built last in its place; returns its namespace.

    Args:
        cluster: Has the images.
        values: Further values of the chart.

    Raises:
        ClusterError: It does not become ready.
    """
    repository, _, tag = cluster.images["flow-operator"].rpartition(":")
    fetcher, _, fetcher_tag = cluster.images["flow-fetcher"].rpartition(":")
    values = {
        "image.repository": repository,
        "image.tag": tag,
        "fetcher.image.repository": fetcher,
        "fetcher.image.tag": fetcher_tag,
        "fetcher.fullImage.repository": f"{fetcher}-full",
        "fetcher.fullImage.tag": fetcher_tag,
        "runs.defaultImage": cluster.images["flow-test-python"],
        "logFormat": "text",
        **values,
    }
    settings = [f"--set-string={name}={value}" for name, value in values.items()]
    cluster.run_helm(
        "upgrade", RELEASE, str(REPOSITORY / "charts" / "flow-operator"), "--install",
        "--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "120s",
        *settings,
    )  # fmt: skip
    # The tag stays the same when the image changes: start what was built last.
    cluster.run("-n", NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}")
    cluster.run("-n", NAMESPACE, "rollout", "status", f"deployment/{RELEASE}", "--timeout=120s")
    return NAMESPACE
