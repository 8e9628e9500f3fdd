"""Where the harness keeps what it makes, and the few settings a developer may change."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
"""The working tree whose images are built."""

HERE = Path(__file__).resolve().parent


def cache() -> Path:
    """The folder for everything that outlives a test run.

    Outside the working tree by default, so that a fresh clone on a machine that
    has built before is warm. `FLOW_CACHE` moves it.
    """
    chosen = os.environ.get("FLOW_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "flow-operator"


@dataclass(frozen=True)
class Settings:
    """One cluster: its folders, names and addresses.

    The whole node lives in network, mount and process namespaces of its own, so
    only the subnet can collide with something on the machine; `FLOW_TEST_SUBNET`
    (the first two numbers of a private /16) moves it.
    """

    state: Path
    run: Path
    subnet: str

    @classmethod
    def from_environment(cls) -> Settings:
        """The settings of this machine's cluster."""
        state = cache() / "cluster"
        # A UNIX socket's path has room for 107 bytes, so sockets live under /run.
        tag = hashlib.sha256(str(state).encode()).hexdigest()[:8]
        return cls(
            state=state,
            run=Path("/run/flow-operator") / tag,
            subnet=os.environ.get("FLOW_TEST_SUBNET", "10.97"),
        )

    @property
    def build_run(self) -> Path:
        """The image builder's locks."""
        return self.run.with_name(f"{self.run.name}-build")

    @property
    def cgroup(self) -> str:
        """The control group that all Pods are under; a kubelet clears what it does not know."""
        return f"flow-test-{self.run.name}"

    @property
    def link(self) -> str:
        """The host's end of the cable to the node."""
        return f"flow{self.run.name[:8]}"

    @property
    def host_ip(self) -> str:
        """The host, as Pods see it: a test may serve something to them here."""
        return f"{self.subnet}.255.1"

    @property
    def node_ip(self) -> str:
        """The node: API server, kubelet and DNS."""
        return f"{self.subnet}.255.2"

    @property
    def pod_cidr(self) -> str:
        """The addresses of Pods."""
        return f"{self.subnet}.0.0/23"

    @property
    def service_cidr(self) -> str:
        """The addresses of Services."""
        return f"{self.subnet}.128.0/20"

    @property
    def kubernetes_service_ip(self) -> str:
        """The first Service address: the API server's."""
        return f"{self.subnet}.128.1"

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://{self.node_ip}:6443"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        """One log file for each component."""
        return self.state / "log"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, with the one context `flow-test`."""
        return self.state / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens."""
        return self.run / "containerd.sock"


CONTEXT = "flow-test"
NODE = "flow-test-node"
