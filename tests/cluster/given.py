"""A cluster that somebody named: `FLOW_TEST_KUBECONFIG` and `FLOW_TEST_CONTEXT`."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cluster.console import ClusterError


class GivenCluster:
    """Used as it is; its images come from a registry of its owner."""

    def __init__(self) -> None:
        self.kubeconfig = Path(os.environ["FLOW_TEST_KUBECONFIG"]).expanduser()
        self.context = os.environ.get("FLOW_TEST_CONTEXT", "")

    def up(self) -> None:
        """Check that the settings are complete."""
        if not self.kubeconfig.is_file():
            raise ClusterError(f"FLOW_TEST_KUBECONFIG: there is no file {self.kubeconfig}")
        if not self.context:
            raise ClusterError(
                "FLOW_TEST_KUBECONFIG is set: name the context that tests may use "
                "in FLOW_TEST_CONTEXT"
            )

    def status(self) -> dict[str, str]:
        """Nothing is known of it."""
        return {"given": f"{self.context} of {self.kubeconfig}"}

    @staticmethod
    def image(name: str) -> str:
        """Where the cluster finds an image: `FLOW_TEST_REGISTRY` has the prefix."""
        prefix = os.environ.get("FLOW_TEST_REGISTRY", "").rstrip("/")
        return f"{prefix}/{name}:dev" if prefix else f"{name}:dev"
