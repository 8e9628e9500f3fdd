"""A namespace of a test, and the few things that tests do in one."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.cluster import Cluster

API_VERSION = "flow-operator.io/v1alpha1"

Object = dict[str, Any]


@dataclass(frozen=True)
class Namespace:
    """One namespace of the cluster."""

    cluster: Cluster
    name: str

    @classmethod
    def create(cls, cluster: Cluster, name: str) -> Namespace:
        """Make it anew: what an earlier session left there is deleted first."""
        cluster.run("delete", "namespace", name, "--ignore-not-found", "--timeout=90s")
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        made = cls(cluster, name)
        metadata = {"name": name, "labels": labels}
        made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        return made

    def delete(self) -> None:
        self.cluster.run("delete", "namespace", self.name, "--wait=false")

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in this namespace."""
        return self.cluster.run("--namespace", self.name, *arguments, stdin=stdin)

    def apply(self, *objects: Object) -> None:
        self.cluster.run("apply", "-f", "-", stdin=json.dumps(_list(objects)))

    def create_objects(self, *objects: Object) -> None:
        self.cluster.run("create", "-f", "-", stdin=json.dumps(_list(objects)))

    def get(self, kind: str, name: str) -> Object:
        got: Object = json.loads(self.run("get", kind, name, "-o", "json"))
        return got

    def list(self, kind: str, *arguments: str) -> list[Object]:
        items: list[Object] = json.loads(self.run("get", kind, "-o", "json", *arguments))["items"]
        return items

    def secret(self, name: str, **data: str) -> Object:
        """A Secret; keys are given with `_` for `.` and `-`-free names as they are."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.name},
            "stringData": data,
        }

    def deployment(self, name: str, **spec: Any) -> Object:
        return {
            "apiVersion": API_VERSION,
            "kind": "FlowDeployment",
            "metadata": {"name": name, "namespace": self.name},
            "spec": spec,
        }

    def flow_run(self, name: str, deployment: str, **spec: Any) -> Object:
        return {
            "apiVersion": API_VERSION,
            "kind": "FlowRun",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {"deploymentRef": {"name": deployment}, **spec},
        }

    def runs(self, deployment: str) -> list[Object]:
        """The FlowRuns of a deployment, oldest first."""
        selector = f"--field-selector=spec.deploymentRef.name={deployment}"
        runs = self.list("flowruns", selector)
        return sorted(runs, key=lambda run: run["metadata"]["creationTimestamp"])

    def finished_run(self, deployment: str, seconds: float = 60) -> Object:
        """The only run of a deployment, once it has ended."""

        def look() -> Object | None:
            runs = self.runs(deployment)
            assert len(runs) <= 1, f"{deployment} has {len(runs)} runs"
            return runs[0] if runs and phase(runs[0]) in FINISHED else None

        return wait_for(
            look, seconds, f"the run of {deployment} in {self.name} to end", self.explain
        )

    def finished(self, run: str, seconds: float = 60) -> Object:
        """A FlowRun by name, once it has ended."""

        def look() -> Object | None:
            got = self.get("flowrun", run)
            return got if phase(got) in FINISHED else None

        return wait_for(look, seconds, f"FlowRun {run} to end", self.explain)

    def pods_of(self, run: Object) -> list[Object]:
        return self.list("pods", f"-l=flow-operator.io/run-uid={run['metadata']['uid']}")

    def jobs_of(self, run: Object) -> list[Object]:
        return self.list("jobs", f"-l=flow-operator.io/run-uid={run['metadata']['uid']}")

    def logs(self, pod: Object, container: str) -> str:
        return self.run("logs", pod["metadata"]["name"], "-c", container)

    def follow_logs(self, pod: Object, container: str) -> Callable[[], str]:
        """Read a log from now on, for Pods that will be deleted; call the result to get it."""
        command = [
            str(self.cluster.kubectl), "--kubeconfig", str(self.cluster.kubeconfig),
            "--context", self.cluster.context, "--namespace", self.name,
            "logs", "--follow", pod["metadata"]["name"], "-c", container,
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        return lambda: process.communicate(timeout=60)[0]

    def explain(self) -> str:
        """What a person would look at when something hangs."""
        return self.run("get", "fd,fr,jobs,pods", "-o", "wide") + self.run("get", "events")


FINISHED = ("Succeeded", "Failed", "Cancelled")


def phase(run: Object) -> str:
    return str(run.get("status", {}).get("phase", ""))


def condition(obj: Object, kind: str) -> Object:
    """A condition of an object; an empty one if there is none."""
    conditions = obj.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


def wait_for(
    look: Callable[[], Any | None],
    seconds: float,
    what: str,
    explain: Callable[[], str] = lambda: "",
) -> Any:
    """Look until there is something, at most so long."""
    end = time.monotonic() + seconds
    while True:
        if (seen := look()) is not None:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}\n{explain()}")
        time.sleep(0.5)


def _list(objects: Iterable[Object]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}
