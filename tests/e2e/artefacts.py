"""Gathers what a run leaves behind: logs, objects, processes, the volume."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import Cluster
from tests.e2e.kube import Namespace

KINDS = "flowdeployments,flowruns,jobs,pods,configmaps,replicasets,deployments"


def objects(namespace: Namespace) -> dict[str, bytes]:
    """Every object of the namespace but its Secrets, with its Events and status."""
    gathered = {kind: namespace.run("get", kind, "-o", "json") for kind in KINDS.split(",")}
    gathered["events"] = namespace.run("get", "events", "-o", "json")
    gathered["describe"] = namespace.run("describe", "flowdeployments,flowruns,jobs,pods")
    return {name: text.encode() for name, text in gathered.items()}


def logs(namespace: Namespace) -> dict[str, bytes]:
    """The log of every container of the namespace that has run."""
    gathered = {}
    for pod in namespace.list("pods"):
        status = pod["status"]
        for container in [
            *status.get("initContainerStatuses", []),
            *status.get("containerStatuses", []),
        ]:
            if "waiting" not in container["state"]:
                name = f"log of {pod['metadata']['name']}/{container['name']}"
                gathered[name] = namespace.logs(pod, container["name"]).encode()
    return gathered


def operator_log(cluster: Cluster, namespace: str) -> dict[str, bytes]:
    text = cluster.run("-n", namespace, "logs", "-l", "app.kubernetes.io/name=flow-operator",
                       "--tail=-1")  # fmt: skip
    return {"log of the operator": text.encode()}


def volume(namespace: Namespace, pod: str) -> dict[str, bytes]:
    """What the main container can read: its volumes, and its processes."""

    def read(script: str) -> bytes:
        command = ("exec", pod, "-c", "flow", "--", "sh", "-c", f"({script}) 2>/dev/null | base64")
        return base64.b64decode(namespace.run(*command))

    return {
        "volumes of the main container": read("tar -cf - /flow /tmp /etc/flow /run"),
        "processes of the main container": read("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline"),
    }


class Processes:
    """Argument lists and environments of all processes of this machine, seen while it watches."""

    def __init__(self) -> None:
        self.seen: dict[str, bytes] = {}
        self._stop = threading.Event()

    def _look(self) -> Iterator[tuple[str, bytes]]:
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            for name in ("cmdline", "environ"):
                try:
                    yield f"{name} of process {folder.name}", (folder / name).read_bytes()
                except OSError:
                    continue  # it has just ended

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for name, content in self._look():
                if content and content not in self.seen.get(name, b""):
                    self.seen[name] = self.seen.get(name, b"") + b"\n" + content

    @contextmanager
    def watching(self) -> Iterator[Processes]:
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()
