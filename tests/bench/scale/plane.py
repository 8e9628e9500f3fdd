"""A control plane to measure on: real etcd, API server and controllers; no scheduler, no kubelet.

Plain processes on loopback, with the test cluster's programs and certificates: it needs no root,
and several may run side by side. Every measurement begins with an empty one, and it ends with the
process that made it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.bench import places
from tests.bench.places import BenchError
from tests.cluster import certificates, components
from tests.cluster.console import ClusterError, wait_for
from tests.cluster.paths import NODE, Settings
from tests.cluster.probe import Probe
from tests.cluster.processes import Process, spawn
from tests.cluster.system import require

DEFAULTS = ("--kube-api-qps=20", "--kube-api-burst=30", "--concurrent-cron-job-syncs=5")
"""The controller manager's own defaults, for what the test cluster sets otherwise."""

LIFTED = ("--kube-api-qps=100000", "--kube-api-burst=100000", "--concurrent-cron-job-syncs=50")
"""No limit on the client's side, and enough workers."""

_ETCD_BYTES = 8 << 30
_PROGRAMS = {"setpriv": "util-linux", "openssl": "openssl"}
_LOOPBACK = "127.0.0.1"
_PATIENCE = 90.0
_KEPT_LOGS = 10
_USER = ("flow-system", "flow-operator")


@dataclass(frozen=True)
class _Settings(Settings):
    """Those of a control plane on loopback."""

    port: int

    @property
    def node_ip(self) -> str:
        """Where everything listens."""
        return _LOOPBACK

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://{_LOOPBACK}:{self.port}"


class Plane:
    """An empty control plane; it runs while the `with` lasts.

    Attributes:
        kubeconfig: The operator's: the token of a ServiceAccount, with all rights.
        logs: A folder for the logs of everything that runs on it; it stays.
    """

    def __init__(self) -> None:
        # In memory, where there is such a place: a disk that others use tells more about them.
        self._state = Path(tempfile.mkdtemp(prefix="flow-plane-", dir=places.room()))
        self._client, self._peer, port, self._manager = _free_ports(4)
        self._settings = _Settings(self._state, self._state, "10.97", port)
        self.logs = _fresh_folder(places.cache() / "scale-logs")
        self._processes: dict[str, Process] = {}
        self.kubeconfig = self._state / "operator.kubeconfig"

    def __enter__(self) -> Self:
        try:
            require(_PROGRAMS)
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._processes)):
            self._stop(name, grace=0)
        shutil.rmtree(self._state, ignore_errors=True)

    @property
    def server(self) -> str:
        """The API server's address."""
        return self._settings.server

    def tls(self) -> ssl.SSLContext:
        """The administrator's credentials."""
        pki = self._settings.pki
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        return context

    def pid(self, component: str) -> int:
        """The process of a component that runs."""
        return self._processes[component].pid

    @contextlib.contextmanager
    def controllers(self, *names: str, flags: tuple[str, ...] = LIFTED) -> Iterator[int]:
        """Run these controllers of the controller manager, and no others; its process."""
        where = (f"--bind-address={_LOOPBACK}", f"--secure-port={self._manager}")
        name = "kube-controller-manager"
        self._run(name, *where, f"--controllers={','.join(names)}", *flags)
        try:
            self._wait("the controllers", self._controllers_ready, name)
            yield self.pid(name)
        finally:
            self._stop(name, grace=2)

    def _start(self) -> None:
        certificates.make_all(self._settings)
        client, peer = (f"http://{_LOOPBACK}:{port}" for port in (self._client, self._peer))
        self._run(
            "etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={NODE}={peer}",
            f"--quota-backend-bytes={_ETCD_BYTES}",
        )
        port = self._settings.port
        self._run("kube-apiserver", f"--etcd-servers={client}", f"--secure-port={port}")
        self._wait("the API server", Probe(self._settings).api_ready, "kube-apiserver")
        self._make_user()

    def _run(self, name: str, *flags: str) -> None:
        """Start a component as the test cluster does; of a flag given twice the last one counts."""
        command = [*components.command(name, self._settings), *flags]
        # The kernel ends it when the bench ends, however that comes.
        tied = ["setpriv", "--pdeathsig", "KILL", *command]
        self._processes[name] = spawn(tied, self._log(name))

    def _stop(self, name: str, grace: float) -> None:
        self._processes.pop(name).end(grace=grace)

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
        authority = str(self._settings.pki / "ca.crt")
        cluster = {"server": self.server, "certificate-authority": authority}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "plane", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token["status"]["token"]}}],
            "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": name}}],
            "current-context": "plane",
        }
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
        url = f"https://{_LOOPBACK}:{self._manager}/healthz"
        try:
            with urllib.request.urlopen(url, context=unverified, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _wait(self, what: str, ready: Any, component: str) -> None:
        def looked() -> bool:
            if not self._processes[component].alive():
                raise BenchError(f"{component} ended: see {self._log(component)}")
            return bool(ready())

        try:
            wait_for(what, looked, seconds=_PATIENCE, hint=f"See {self._log(component)}")
        except ClusterError as error:
            raise BenchError(str(error)) from error

    def _log(self, component: str) -> Path:
        return self.logs / f"{component}.log"


def _fresh_folder(above: Path) -> Path:
    """A new folder, named by the time; only the newest few stay."""
    above.mkdir(parents=True, exist_ok=True)
    folders = sorted(entry for entry in above.iterdir() if entry.is_dir())
    for old in folders[: -_KEPT_LOGS + 1]:
        shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=above))


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server((_LOOPBACK, 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in servers]
