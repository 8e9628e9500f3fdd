"""A namespace with an operator of its own behind a proxy, and a kubelet that the test plays.

The API server and the Job controller are real. The Pods ask for more CPU than any node has, so
that no kubelet takes them, and the test writes their statuses as a kubelet would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, WATCHED, Cluster
from flow_operator.shell.connection import Connection
from tests.e2e.proxy import Fault, Proxy, kubeconfig_for

PATIENCE = 60.0
COMMIT = "8c1f" * 10

_LOOK_SECONDS = 0.1
"""How often to look: each look costs the two cores that the operators need to start."""

Object = dict[str, Any]


@dataclass
class Lab:
    """What every lane of the experiment shares."""

    connection: Connection
    cluster: Cluster
    folder: Path
    impersonate: str = ""
    stamp: str = field(default_factory=lambda: secrets.token_hex(3))


@dataclass
class Lane:
    """A namespace with an operator of its own, which is started again whenever it is killed."""

    lab: Lab
    namespace: str
    command: tuple[str, ...] = ("-m", "flow_operator")
    starts: int = 0

    async def __aenter__(self) -> Lane:
        meta = {"name": self.namespace}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        await self.lab.cluster._send("POST", "/api/v1/namespaces", body)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._kill()
        await self.process.wait()
        await self.proxy.close()
        self.log.close()
        await self.lab.cluster._send("DELETE", f"/api/v1/namespaces/{self.namespace}")

    async def start(self) -> None:
        """Start an operator that reaches the API server through a proxy of its own."""
        self.starts += 1
        self.proxy = Proxy(self.lab.connection, self.lab.impersonate, self._kill)
        await self.proxy.start()
        kubeconfig = self.lab.folder / f"{self.namespace}-{self.starts}.kubeconfig"
        kubeconfig.write_text(json.dumps(kubeconfig_for(self.proxy.address)))
        self.log = (self.lab.folder / f"{self.namespace}.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *self.command, "--namespace", self.namespace,
            env={**os.environ, "KUBECONFIG": str(kubeconfig), "FLOW_OPERATOR_PORT": "0"},
            stdout=self.log, stderr=self.log,
        )  # fmt: skip
        watched = {resource.path(self.namespace) for resource in WATCHED}
        await self._until(lambda: self.proxy.watches >= watched, "the operator to watch")

    async def start_again(self) -> None:
        """Start another operator after this one was killed."""
        await self.process.wait()
        await self.proxy.close()
        self.log.close()
        await self.start()

    async def run(self, name: str, fault: Fault | None, patience: float = PATIENCE) -> list[str]:
        """Apply a deployment, kill the operator at the fault, and return what is wrong then.

        Args:
            name: Of the deployment.
            fault: When to kill the operator; it is started again at once. None: never.
            patience: How many seconds the run may take while an operator is there.
        """
        self.proxy.arm(fault)
        proxy = self.proxy
        await self.lab.cluster.create(FLOW_DEPLOYMENTS, _deployment(self.namespace, name))
        kubelet = asyncio.create_task(self._play_kubelet(name, proxy))
        settled = asyncio.create_task(self._settle(name))
        struck = asyncio.create_task(proxy.struck.wait())
        try:
            async with asyncio.timeout(patience):
                await asyncio.wait({settled, struck}, return_when=asyncio.FIRST_COMPLETED)
            if proxy.struck.is_set():
                await self.start_again()
            async with asyncio.timeout(patience):
                await settled
        except TimeoutError:
            return ["the run does not end", *await self._problems(name)]
        finally:
            for task in (kubelet, settled, struck):
                task.cancel()
        return await self._problems(name)

    async def runs(self, name: str) -> list[Object]:
        """Return the FlowRuns of a deployment."""
        fields = f"spec.deploymentRef.name={name}"
        return await self.lab.cluster.list(FLOW_RUNS, self.namespace, fields=fields)

    async def jobs(self, run: Object) -> list[Object]:
        """Return the Jobs of a FlowRun, whatever their names and labels."""
        jobs = await self.lab.cluster.list(JOBS, self.namespace)
        uid = run["metadata"]["uid"]
        return [job for job in jobs if _owner(job) == uid]

    async def _problems(self, name: str) -> list[str]:
        """Compare what is there with what must be there, exactly once."""
        problems = []
        runs = await self.runs(name)
        if len(runs) != 1:
            problems.append(f"{len(runs)} FlowRuns")
        for run in runs:
            if (phase := run.get("status", {}).get("phase")) != "Succeeded":
                problems.append(f"phase {phase}")
            if (count := len(await self.jobs(run))) != 1:
                problems.append(f"{count} Jobs of a FlowRun")
            attempts = run.get("status", {}).get("attempts") or []
            if [attempt["number"] for attempt in attempts] != [1]:
                problems.append(f"attempts {attempts}")
        deployment = await self.lab.cluster.find(FLOW_DEPLOYMENTS, self.namespace, name)
        if (sequence := _last_trigger(deployment)) != 1:
            problems.append(f"lastTrigger.sequence is {sequence}")
        return problems

    async def _settle(self, name: str) -> None:
        """Wait until the deployment says that its run succeeded, and nothing more is written."""
        while True:
            deployment = await self.lab.cluster.find(FLOW_DEPLOYMENTS, self.namespace, name)
            last = ((deployment or {}).get("status") or {}).get("lastRun") or {}
            if last.get("phase") == "Succeeded":
                written = len(self.proxy.writes)
                await asyncio.sleep(0.3)
                if len(self.proxy.writes) == written:
                    return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _play_kubelet(self, deployment: str, proxy: Proxy) -> None:
        """Take the Pods of a deployment's runs through fetching and running to their end."""
        done: set[str] = set()
        while True:
            for run in await self.runs(deployment):
                labels = f"flow-operator.io/run-uid={run['metadata']['uid']}"
                for pod in await self.lab.cluster.list(PODS, self.namespace, labels=labels):
                    if pod["metadata"]["uid"] not in done:
                        done.add(pod["metadata"]["uid"])
                        await self._live(run, pod, proxy)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _live(self, run: Object, pod: Object, proxy: Proxy) -> None:
        for phase, status in _LIFE:
            # A run whose operator is dead goes on without being seen.
            await self._seen(run, "Pending" if phase == "Fetching" else _BEFORE[phase], proxy)
            path = PODS.path(self.namespace, pod["metadata"]["name"]) + "/status"
            change = {"status": status(_time())}
            kind = "application/merge-patch+json"
            await self.lab.cluster._send("PATCH", path, change, content_type=kind)

    async def _seen(self, run: Object, phase: str, proxy: Proxy) -> None:
        """Wait until the run and its deployment say that phase, unless the operator was killed."""
        name = run["spec"]["deploymentRef"]["name"]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                while not proxy.struck.is_set():
                    now = await self.lab.cluster.find(FLOW_DEPLOYMENTS, self.namespace, name)
                    last = ((now or {}).get("status") or {}).get("lastRun") or {}
                    if last.get("phase") == phase:
                        return
                    await asyncio.sleep(_LOOK_SECONDS)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    assert self.process.returncode is None, f"ended while waiting for {what}"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE} s for {what}") from None


def _deployment(namespace: str, name: str) -> Object:
    return {
        "apiVersion": "flow-operator.io/v1alpha1",
        "kind": "FlowDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "source": {"git": {"url": "https://git.example/acme/flows.git"}},
            "entrypoint": "flow.py:main",
            "resources": {"requests": {"cpu": "4096"}},
        },
    }


def _last_trigger(deployment: Object | None) -> int | None:
    return ((deployment or {}).get("status") or {}).get("lastTrigger", {}).get("sequence")


def _owner(manifest: Object) -> str | None:
    owners = manifest["metadata"].get("ownerReferences") or []
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


def _time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _container(name: str, state: Object) -> list[Object]:
    known = {"image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    return [{"name": name, "state": state, **known}]


def _ended(time: str, message: Object) -> Object:
    times = {"startedAt": time, "finishedAt": time}
    return {
        "terminated": {"exitCode": 0, "reason": "Completed", "message": json.dumps(message)} | times
    }


def _fetching(time: str) -> Object:
    started = {"running": {"startedAt": time}}
    return {"phase": "Pending", "initContainerStatuses": _container("fetch", started)}


def _running(time: str) -> Object:
    fetched = {"version": 1, "reason": "Succeeded", "revision": COMMIT, "seconds": {"total": 0.1}}
    return {
        "phase": "Running",
        "initContainerStatuses": _container("fetch", _ended(time, fetched)),
        "containerStatuses": _container("flow", {"running": {"startedAt": time}}),
    }


def _succeeded(time: str) -> Object:
    message = {"version": 1, "result": {"rows": 10}}
    return {"phase": "Succeeded", "containerStatuses": _container("flow", _ended(time, message))}


_LIFE = (("Fetching", _fetching), ("Running", _running), ("Succeeded", _succeeded))
_BEFORE = {"Running": "Fetching", "Succeeded": "Running"}
