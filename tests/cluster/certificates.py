"""The cluster's certificate authority, its certificates and kubeconfigs."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from tests.cluster.console import run
from tests.cluster.paths import CONTEXT, NODE, Settings

CLIENTS = {
    "admin": ("flow-test-admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "kube-apiserver-kubelet-client": ("kube-apiserver-kubelet-client", "system:masters"),
    "coredns": ("flow-test:dns", ""),
}
"""File name → common name and organization: the user and the group of RBAC."""


def make_all(settings: Settings) -> None:
    """Write the CA, every certificate and every kubeconfig, unless they are there."""
    pki = settings.pki
    if settings.kubeconfig.exists():
        return
    pki.mkdir(parents=True, exist_ok=True)
    pki.chmod(0o700)
    _authority(pki)
    _key(pki / "service-account.key")
    run(
        [
            "openssl",
            "pkey",
            "-in",
            pki / "service-account.key",
            "-pubout",
            "-out",
            str(pki / "service-account.pub"),
        ]
    )
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names += ["kubernetes.default.svc.cluster.local", "localhost", NODE]
    addresses = ["127.0.0.1", settings.node_ip, settings.kubernetes_service_ip]
    san = ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{ip}" for ip in addresses)])
    _certificate(
        pki,
        "kube-apiserver",
        "/CN=kube-apiserver",
        f"subjectAltName={san}\nextendedKeyUsage=serverAuth",
    )
    san = f"DNS:{NODE},IP:{settings.node_ip}"
    _certificate(
        pki, "kubelet-server", f"/CN={NODE}", f"subjectAltName={san}\nextendedKeyUsage=serverAuth"
    )
    for name, (user, group) in CLIENTS.items():
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        _certificate(pki, name, subject, "extendedKeyUsage=clientAuth")
        _kubeconfig(settings, name, pki / f"{name}.kubeconfig")
    _kubeconfig(settings, "admin", settings.kubeconfig)


def _key(path: Path) -> None:
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path])
    path.chmod(0o600)


def _authority(pki: Path) -> None:
    _key(pki / "ca.key")
    run(
        [
            "openssl",
            "req",
            "-x509",
            "-new",
            "-key",
            pki / "ca.key",
            "-days",
            "365",
            "-subj",
            "/CN=flow-test-ca",
            "-out",
            str(pki / "ca.crt"),
        ]
    )


def _certificate(pki: Path, name: str, subject: str, extensions: str) -> None:
    key, certificate, request = (pki / f"{name}.{kind}" for kind in ("key", "crt", "csr"))
    _key(key)
    run(["openssl", "req", "-new", "-key", key, "-subj", subject, "-out", request])
    (pki / f"{name}.ext").write_text(extensions + "\n")
    run(
        [
            "openssl",
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            pki / "ca.crt",
            "-days",
            "365",
            "-CAkey",
            str(pki / "ca.key"),
            "-CAcreateserial",
            "-extfile",
            str(pki / f"{name}.ext"),
            "-out",
            str(certificate),
        ]
    )


def _kubeconfig(settings: Settings, name: str, path: Path) -> None:
    """A kubeconfig that names its files, so that reading it shows no key."""
    pki = settings.pki
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": CONTEXT,
                "cluster": {
                    "server": settings.server,
                    "certificate-authority": str(pki / "ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate": str(pki / f"{name}.crt"),
                    "client-key": str(pki / f"{name}.key"),
                },
            }
        ],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": name}}],
        "current-context": CONTEXT,
    }
    temporary = path.with_suffix(".tmp")
    temporary.write_text(yaml.safe_dump(content, sort_keys=False))
    temporary.chmod(0o600)
    os.replace(temporary, path)
