"""The cluster of this machine: what can be told without starting one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.console import ClusterError
from tests.cluster.own import OwnCluster
from tests.cluster.paths import Settings


def test_a_cluster_that_runs_in_another_subnet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no cluster that does not answer: the message says so, and what to do."""
    cluster = OwnCluster(Settings(state=tmp_path, run=tmp_path / "run", subnet="10.112"))
    cluster.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    cluster.kubeconfig.write_text("server: https://10.97.255.2:6443")
    cluster.check_subnet()  # nothing runs
    monkeypatch.setattr(cluster.node, "init", lambda: 4711)
    with pytest.raises(ClusterError, match=r"FLOW_TEST_SUBNET .* `make cluster-down`"):
        cluster.check_subnet()
    cluster.kubeconfig.write_text("server: https://10.112.255.2:6443")
    cluster.check_subnet()
