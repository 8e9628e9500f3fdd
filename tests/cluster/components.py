"""The components' command lines, and the order they start in."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.binaries import tool
from tests.cluster.paths import NODE, Settings
from tests.cluster.system import find

ORDER = (
    "etcd",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
)
"""Each may be started when those before it are; they are stopped in reverse."""

_REQUESTS_PER_SECOND = 400
"""What a controller may send: the default of 20 makes test runs slow."""


def command(name: str, settings: Settings) -> list[str]:
    """The command line of a component."""
    if name == "containerd":
        return [str(find("containerd")), "--config", str(settings.state / "etc/containerd.toml")]
    arguments = _ARGUMENTS[name](settings)
    return [str(tool(name)), *arguments]


def _etcd(settings: Settings) -> list[str]:
    return [
        f"--name={NODE}",
        f"--data-dir={settings.state}/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        # Test data: what a power failure would lose is made anew.
        "--unsafe-no-fsync",
    ]


def _apiserver(settings: Settings) -> list[str]:
    pki = settings.pki
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--bind-address={settings.node_ip}",
        f"--advertise-address={settings.node_ip}",
        f"--service-cluster-ip-range={settings.service_cidr}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/kube-apiserver.crt",
        f"--tls-private-key-file={pki}/kube-apiserver.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kube-apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/kube-apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # A restart must not wait for the tests' own open watches.
        "--shutdown-delay-duration=0s",
    ]


def _controller_manager(settings: Settings) -> list[str]:
    return [
        f"--kubeconfig={settings.pki}/kube-controller-manager.kubeconfig",
        f"--root-ca-file={settings.pki}/ca.crt",
        f"--service-account-private-key-file={settings.pki}/service-account.key",
        "--use-service-account-credentials",
        "--leader-elect=false",
        f"--kube-api-qps={_REQUESTS_PER_SECOND}",
        f"--kube-api-burst={_REQUESTS_PER_SECOND}",
    ]


def _scheduler(settings: Settings) -> list[str]:
    return [
        f"--kubeconfig={settings.pki}/kube-scheduler.kubeconfig",
        "--leader-elect=false",
        f"--kube-api-qps={_REQUESTS_PER_SECOND}",
        f"--kube-api-burst={_REQUESTS_PER_SECOND}",
    ]


def _kubelet(settings: Settings) -> list[str]:
    return [
        f"--config={settings.state}/etc/kubelet.yaml",
        f"--kubeconfig={settings.pki}/kubelet.kubeconfig",
        f"--root-dir={settings.state}/kubelet",
        f"--hostname-override={NODE}",
        f"--node-ip={settings.node_ip}",
    ]


def _proxy(settings: Settings) -> list[str]:
    return [f"--config={settings.state}/etc/kube-proxy.yaml"]


def _coredns(settings: Settings) -> list[str]:
    return ["-conf", str(settings.state / "etc" / "Corefile")]


_ARGUMENTS = {
    "etcd": _etcd,
    "kube-apiserver": _apiserver,
    "kube-controller-manager": _controller_manager,
    "kube-scheduler": _scheduler,
    "kubelet": _kubelet,
    "kube-proxy": _proxy,
    "coredns": _coredns,
}


def data_folders(settings: Settings) -> list[Path]:
    """What belongs to one life of the cluster, and goes with it. Images stay."""
    names = ("etcd", "kubelet", "pods", "pki", "etc", "sysctl")
    return [settings.state / name for name in names]
