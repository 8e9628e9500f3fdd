"""A cluster of real Kubernetes components on this machine, without a container engine."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

from tests.cluster import certificates, components, configuration, pause
from tests.cluster.binaries import tool
from tests.cluster.console import ClusterError, run, step, wait_for
from tests.cluster.node import Node
from tests.cluster.paths import CONTEXT, Settings, cache
from tests.cluster.probe import Probe
from tests.cluster.system import CLUSTER_PROGRAMS, find, lock, require

_CONTROL_PLANE = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns")


class OwnCluster:
    """One node with its control plane, in namespaces of its own."""

    context = CONTEXT

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_environment()
        self.node = Node(self.settings)
        self.kubeconfig = self.settings.kubeconfig

    def up(self) -> None:
        """Start what does not run, and wait until a Pod may be created."""
        with lock("cluster"):
            if self.healthy():
                return
            self.check_subnet()
            require(CLUSTER_PROGRAMS)
            tool("kubectl")
            with step("start the cluster"):
                self._start()

    def down(self) -> None:
        """Stop everything; keep what `up` would have to build again."""
        with lock("cluster"):
            if self.node.init():
                with step("stop the cluster"):
                    self._stop()
            self._forget()

    def purge(self) -> None:
        """`down`, and forget all images and logs too; built programs stay."""
        self.down()
        for folder in (self.settings.state, cache() / "buildah", self.settings.build_run):
            shutil.rmtree(folder, ignore_errors=True)
        (cache() / "images.json").unlink(missing_ok=True)

    def healthy(self) -> bool:
        """Whether every component runs and the node takes Pods."""
        return bool(
            self.kubeconfig.exists()
            and self.node.init()
            and all(self.node.running(name) for name in components.ORDER)
            and (probe := Probe(self.settings)).api_ready()
            and probe.node_ready()
        )

    def check_subnet(self) -> None:
        """Make sure that what runs, if something does, has the addresses of these settings.

        Raises:
            ClusterError: It was started with another subnet.
        """
        there = self.kubeconfig.exists() and self.node.init()
        if there and self.settings.node_ip not in self.kubeconfig.read_text():
            raise ClusterError(
                f"the cluster that runs is not in {self.settings.subnet}.0.0/16: take the "
                "FLOW_TEST_SUBNET that it was started with, or stop it with `make cluster-down`"
            )

    def status(self) -> dict[str, str]:
        """Component → `running` or `stopped`, and whether the node is ready."""
        report = {
            name: "running" if self.node.running(name) else "stopped" for name in components.ORDER
        }
        return {**report, "node": "ready" if self.healthy() else "not ready"}

    def start(self, component: str) -> None:
        """Start one component again."""
        _known(component)
        self.node.start(component, components.command(component, self.settings))
        if component in ("etcd", "kube-apiserver") and self.node.running("kube-apiserver"):
            self._wait("the API server", Probe(self.settings).api_ready, component)

    def stop(self, component: str, grace: float = 10) -> None:
        """Stop one component; `grace=0` kills it."""
        _known(component)
        self.node.stop(component, grace)

    def images(self) -> dict[str, str]:
        """Image name → digest of those that containerd has."""
        listed = self._ctr("images", "list").splitlines()[1:]
        return {words[0]: words[2] for words in map(str.split, listed)}

    def load(self, archive: Path) -> None:
        """Make the images of a docker-archive available to Pods."""
        self._ctr("images", "import", "--snapshotter", self._snapshotter(), str(archive))

    def _start(self) -> None:
        settings, node = self.settings, self.node
        settings.logs.mkdir(parents=True, exist_ok=True)
        if not node.init():
            # After a crash or a reboot: a new life must not find the Pods of the last one.
            self._forget()
        node.make()
        certificates.make_all(settings)
        configuration.write_all(settings)
        for name in ("etcd", "containerd", "kube-apiserver"):
            node.start(name, components.command(name, settings))
        self._wait("containerd", self._containerd_answers, "containerd")
        if configuration.PAUSE_IMAGE not in self.images():
            self.load(pause.archive())
        probe = Probe(settings)
        self._wait("the API server", probe.api_ready, "kube-apiserver")
        run(
            [tool("kubectl"), "--kubeconfig", self.kubeconfig, "apply", "-f", "-"],
            stdin="\n".join(json.dumps(role) for role in configuration.DNS_ROLE),
        )
        for name in _CONTROL_PLANE:
            node.start(name, components.command(name, settings))
        self._wait("the node", probe.node_ready, "kubelet")
        self._wait("the default ServiceAccount", probe.pods_may_start, "kube-controller-manager")
        self._wait("Services", probe.services_ready, "kube-proxy")
        self._wait("the names of Services", probe.names_ready, "coredns")

    def _stop(self) -> None:
        for name in reversed(components.ORDER):
            if name == "containerd":
                self._remove_containers()
            # Nothing of this life is kept, so only containerd's images deserve patience.
            self.node.stop(name, grace=5 if name == "containerd" else 0)

    def _forget(self) -> None:
        self.node.destroy()
        for folder in components.data_folders(self.settings):
            shutil.rmtree(folder, ignore_errors=True)
        self.kubeconfig.unlink(missing_ok=True)

    def _remove_containers(self) -> None:
        """Leave no record of Pods: the next life's kubelet would try to clean them up."""
        with contextlib.suppress(ClusterError):
            for task in self._ctr("tasks", "list", "--quiet").split():
                self._ctr("tasks", "kill", "--signal", "SIGKILL", task)
            containers = self._ctr("containers", "list", "--quiet").split()
            if containers:
                self._ctr("containers", "delete", *containers)

    def _wait(self, what: str, ready: object, component: str) -> None:
        def looked() -> bool:
            if not self.node.running(component):
                raise ClusterError(f"{component} ended: see {self._log(component)}")
            return bool(callable(ready) and ready())

        wait_for(what, looked, seconds=90, hint=f"See {self._log(component)}")

    def _log(self, component: str) -> Path:
        return self.settings.logs / f"{component}.log"

    def _containerd_answers(self) -> bool:
        try:
            self._ctr("version")
        except ClusterError:
            return False
        return True

    def _ctr(self, *arguments: str) -> str:
        command = [find("ctr") or "ctr", "--address", self.settings.containerd_socket]
        return run([*command, "--namespace", "k8s.io", *arguments])

    def _snapshotter(self) -> str:
        text = (self.settings.state / "etc" / "containerd.toml").read_text()
        return "overlayfs" if '"overlayfs"' in text else "native"


def _known(component: str) -> None:
    if component not in components.ORDER:
        raise ClusterError(f"no component {component!r}; there are: {', '.join(components.ORDER)}")
