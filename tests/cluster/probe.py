"""Whether the cluster answers: the few requests the harness itself makes."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.request
from typing import Any

from tests.cluster.paths import NODE, Settings

_TIMEOUT = 2.0


class Probe:
    """Asks the API server as the administrator."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._tls = ssl.create_default_context(cafile=str(settings.pki / "ca.crt"))
        self._tls.load_cert_chain(settings.pki / "admin.crt", settings.pki / "admin.key")

    def api_ready(self) -> bool:
        """Whether the API server serves, its start-up hooks done."""
        return self._read("/readyz") == b"ok"

    def node_ready(self) -> bool:
        """Whether the node takes Pods."""
        node = self._object(f"/api/v1/nodes/{NODE}")
        conditions = node.get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def pods_may_start(self) -> bool:
        """Whether the controller manager has made what a Pod needs in its namespace."""
        namespace = "/api/v1/namespaces/default"
        return bool(
            self._object(f"{namespace}/serviceaccounts/default").get("metadata")
            and self._object(f"{namespace}/configmaps/kube-root-ca.crt").get("metadata")
        )

    def services_ready(self) -> bool:
        """Whether Service addresses lead to Pods: kube-proxy has written its rules."""
        try:
            url = f"http://{self.settings.node_ip}:10256/healthz"
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def names_ready(self) -> bool:
        """Whether the names of Services resolve."""
        question = b"\0\1\1\0\0\1\0\0\0\0\0\0"
        for label in ("kubernetes", "default", "svc", "cluster", "local"):
            question += bytes([len(label)]) + label.encode()
        question += b"\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.5)
            try:
                client.sendto(question, (self.settings.node_ip, 53))
                return client.recv(512).endswith(
                    socket.inet_aton(self.settings.kubernetes_service_ip)
                )
            except OSError:
                return False

    def _read(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(
                self.settings.server + path, timeout=_TIMEOUT, context=self._tls
            ) as answer:
                return bytes(answer.read())
        except OSError:
            return b""

    def _object(self, path: str) -> dict[str, Any]:
        body = self._read(path)
        return dict(json.loads(body)) if body else {}
