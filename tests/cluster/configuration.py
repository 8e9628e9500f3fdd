"""The configuration files of the components: written from the settings alone."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.paths import NODE, Settings

PAUSE_IMAGE = "localhost/flow-test-pause:1"

DNS_ROLE: list[dict[str, Any]] = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "flow-test:dns"},
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["services", "namespaces", "pods"],
                "verbs": ["list", "watch"],
            },
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": ["list", "watch"],
            },
        ],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "flow-test:dns"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "flow-test:dns",
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "flow-test:dns"}
        ],
    },
]


def write_all(settings: Settings) -> None:
    """Write every file that a component is pointed at."""
    folder = settings.state / "etc"
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    (folder / "containerd.toml").write_text(_containerd(settings))
    (folder / "cni" / "10-flow-test.conflist").write_text(json.dumps(_network(settings), indent=2))
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(settings)))
    (folder / "kube-proxy.yaml").write_text(yaml.safe_dump(_proxy(settings)))
    (folder / "Corefile").write_text(_corefile(settings))
    (folder / "resolv.conf").write_text(f"nameserver {settings.node_ip}\n")


def _containerd(settings: Settings) -> str:
    state = settings.state
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE a score below the parent's is refused.
    return f"""\
version = 2
root = "{state}/containerd"
state = "{settings.run}/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{settings.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter(state)}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{state}/etc/cni"
"""


def snapshotter(folder: Path) -> str:
    """`overlayfs` where a mount of it works in that folder, else `native` (plain copies)."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        layers = [Path(name) / layer for layer in ("lower", "upper", "work", "merged")]
        for layer in layers:
            layer.mkdir()
        lower, upper, work, merged = layers
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return "native"
        subprocess.run(["umount", str(merged)], check=True)
    return "overlayfs"


def _network(settings: Settings) -> dict[str, Any]:
    """Pods on routed point-to-point cables: unlike a bridge, all traffic passes iptables,
    so a Pod reaches its neighbour through a Service without br_netfilter."""
    return {
        "cniVersion": "1.0.0",
        "name": "flow-test",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(settings.run / "ipam"),
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "ranges": [[{"subnet": settings.pod_cidr}]],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(settings: Settings) -> dict[str, Any]:
    pki, state = settings.pki, settings.state
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet-server.key"),
        "containerRuntimeEndpoint": f"unix://{settings.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{settings.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDomain": "cluster.local",
        "clusterDNS": [settings.node_ip],
        "resolvConf": str(state / "etc" / "resolv.conf"),
        "volumePluginDir": str(state / "kubelet" / "volumeplugins"),
        "podLogsDir": str(state / "pods"),
        "maxPods": 250,
        # A full disk of a developer must not evict the tests' Pods, nor their images.
        "evictionHard": {"memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "4s",
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
    }


def _proxy(settings: Settings) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NODE,
        "clusterCIDR": settings.pod_cidr,
        "healthzBindAddress": f"{settings.node_ip}:10256",
        "clientConnection": {"kubeconfig": str(settings.pki / "kube-proxy.kubeconfig")},
        "oomScoreAdj": 0,
        "iptables": {"minSyncPeriod": "100ms"},
        # The kernel's limits belong to the host: leave them alone.
        "conntrack": {
            "maxPerCore": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def _corefile(settings: Settings) -> str:
    return f"""\
.:53 {{
    bind {settings.node_ip}
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {settings.pki}/coredns.kubeconfig
        ttl 5
        fallthrough in-addr.arpa
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
