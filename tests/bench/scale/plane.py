"""A control plane to measure on: real etcd, API server and controllers; no scheduler, no kubelet.

It is made of the test cluster's parts in namespaces of its own, beside any test cluster that runs.
Every measurement begins with an empty one. All of it ends with the process that made it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.bench import places
from tests.bench.places import BenchError
from tests.cluster import certificates, components
from tests.cluster.binaries import tool
from tests.cluster.console import ClusterError, wait_for
from tests.cluster.node import Node
from tests.cluster.paths import Settings
from tests.cluster.probe import Probe
from tests.cluster.processes import Process
from tests.cluster.system import is_root, lock, require

DEFAULTS = ("--kube-api-qps=20", "--kube-api-burst=30", "--concurrent-cron-job-syncs=5")
"""The controller manager's own defaults, for what the test cluster sets otherwise."""

LIFTED = ("--kube-api-qps=100000", "--kube-api-burst=100000", "--concurrent-cron-job-syncs=50")
"""No limit on the client's side, and enough workers."""

_ETCD_BYTES = 8 << 30
_PROGRAMS = {"ip": "iproute2", "nsenter": "util-linux", "openssl": "openssl", "mount": "mount"}
_PATIENCE = 90.0
_USER = ("flow-system", "flow-operator")


class _Settings(Settings):
    """Addresses beside those of a test cluster, in the same subnet."""

    @property
    def host_ip(self) -> str:
        """This machine."""
        return f"{self.subnet}.254.1"

    @property
    def node_ip(self) -> str:
        """The API server."""
        return f"{self.subnet}.254.2"

    @property
    def pod_cidr(self) -> str:
        """Not used: no Pod runs."""
        return f"{self.subnet}.2.0/23"

    @property
    def service_cidr(self) -> str:
        """The addresses of Services."""
        return f"{self.subnet}.144.0/20"

    @property
    def kubernetes_service_ip(self) -> str:
        """The first Service address."""
        return f"{self.subnet}.144.1"


class Plane:
    """An empty control plane; the API server runs while the `with` lasts.

    Attributes:
        settings: Its folders and addresses.
        kubeconfig: The operator's: the token of a ServiceAccount, with all rights.
    """

    def __init__(self) -> None:
        state = places.cache() / "plane"
        tag = hashlib.sha256(str(state).encode()).hexdigest()[:8]
        subnet = Settings.from_environment().subnet
        self.settings = _Settings(state, Path("/run/flow-operator") / tag, subnet)
        self.kubeconfig = state / "operator.kubeconfig"
        self._etcd = places.room() / f"flow-bench-etcd-{tag}"
        self._node = Node(self.settings)
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if not is_root():
            raise BenchError("the control plane has a network of its own: run this as root")
        require(_PROGRAMS)
        tool("kube-apiserver")
        self._lock.enter_context(lock("bench-plane"))
        try:
            self._forget()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()
        self._lock.close()

    @property
    def server(self) -> str:
        """The API server's address."""
        return self.settings.server

    def tls(self) -> ssl.SSLContext:
        """The administrator's credentials."""
        context = ssl.create_default_context(cafile=str(self.settings.pki / "ca.crt"))
        context.load_cert_chain(self.settings.pki / "admin.crt", self.settings.pki / "admin.key")
        return context

    def pid(self, component: str) -> int:
        """The process of a component that runs, as this machine counts."""
        outer = Process.read(self.settings.run / f"{component}.pid")
        inner = outer.child() if outer else None
        if inner is None:
            raise BenchError(f"{component} does not run: see {self._log(component)}")
        return inner.pid

    @contextlib.contextmanager
    def controllers(self, *names: str, flags: tuple[str, ...] = LIFTED) -> Iterator[int]:
        """Run these controllers of the controller manager, and no others; its process."""
        command = components.command("kube-controller-manager", self.settings)
        command += [f"--controllers={','.join(names)}", *flags]
        self._node.start("kube-controller-manager", command)
        try:
            self._wait("the controllers", self._controllers_ready, "kube-controller-manager")
            yield self.pid("kube-controller-manager")
        finally:
            self._node.stop("kube-controller-manager", grace=2)

    def _start(self) -> None:
        settings, node = self.settings, self._node
        node.make()
        certificates.make_all(settings)
        etcd = components.command("etcd", settings)
        etcd += [f"--data-dir={self._etcd}", f"--quota-backend-bytes={_ETCD_BYTES}"]
        node.start("etcd", etcd)
        node.start("kube-apiserver", components.command("kube-apiserver", settings))
        self._wait("the API server", Probe(settings).api_ready, "kube-apiserver")
        self._make_user()

    def _forget(self) -> None:
        self._node.destroy()
        for folder in (self._etcd, *components.data_folders(self.settings)):
            shutil.rmtree(folder, ignore_errors=True)
        self.settings.kubeconfig.unlink(missing_ok=True)
        self.kubeconfig.unlink(missing_ok=True)
        for log in self.settings.logs.glob("*.log"):
            log.unlink()

    def _make_user(self) -> None:
        """Give the operator a ServiceAccount, so that the API server queues it as it would."""
        namespace, name = _USER
        prefix = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self._post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        self._post(prefix, {"metadata": {"name": name}})
        subject = {"kind": "ServiceAccount", "namespace": namespace, "name": name}
        group = "rbac.authorization.k8s.io"
        role = {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"}
        self._post(
            f"/apis/{group}/v1/clusterrolebindings",
            {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]},
        )
        token = self._post(f"{prefix}/{name}/token", {"spec": {"expirationSeconds": 86_400}})
        authority = base64.b64encode((self.settings.pki / "ca.crt").read_bytes()).decode()
        cluster = {"server": self.server, "certificate-authority-data": authority}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "plane", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token["status"]["token"]}}],
            "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": name}}],
            "current-context": "plane",
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(content))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.server + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, context=self.tls(), timeout=30) as answer:
            return dict(json.loads(answer.read()))

    def _controllers_ready(self) -> bool:
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        url = f"https://{self.settings.node_ip}:10257/healthz"
        try:
            with urllib.request.urlopen(url, context=unverified, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _wait(self, what: str, ready: Any, component: str) -> None:
        def looked() -> bool:
            if not self._node.running(component):
                raise BenchError(f"{component} ended: see {self._log(component)}")
            return bool(ready())

        try:
            wait_for(what, looked, seconds=_PATIENCE, hint=f"See {self._log(component)}")
        except ClusterError as error:
            raise BenchError(str(error)) from error

    def _log(self, component: str) -> Path:
        return self.settings.logs / f"{component}.log"
