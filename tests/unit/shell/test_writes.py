"""What a run costs the API server: the writes that docs/performance.md tells of, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, Resource
from tests.unit.core.world import FETCHED, RUNNING, deployment, pod, terminated
from tests.unit.shell.memory import Manifest, MemoryApi, Operator

ENDED = terminated(0, '{"version":1,"result":1}')
STATES = (
    pod(),
    pod(RUNNING),
    pod(FETCHED),
    pod(FETCHED, RUNNING, phase="Running"),
    pod(FETCHED, ENDED, phase="Running"),
    pod(FETCHED, ENDED, phase="Succeeded"),
)
"""All that a kubelet says of a Pod that succeeds; it may take seconds from each to the next."""

FETCHES, RUNS, SUCCEEDED = STATES[1], STATES[3], STATES[5]

AT_LEAST = [
    "create FlowRun",
    "create Event RunCreated",
    "create Job",
    "status of FlowDeployment: Pending",
    "status of FlowRun: Succeeded",
    "create Event Succeeded",
    "status of FlowDeployment: Succeeded",
]
PENDING = ["status of FlowRun: Pending"]
PHASES = [
    "status of FlowRun: Fetching",
    "status of FlowDeployment: Fetching",
    "status of FlowRun: Running",
    "status of FlowDeployment: Running",
]
REVISION = PHASES[:2]
COUNTED = PENDING
DUE = ["status of FlowDeployment: None"]
"""Of an apply that starts no run: when the first tick is."""

TICKS: dict[str, Any] = {
    "runOn": [],
    "schedules": [{"name": "often", "interval": {"every": "100s"}}],
}


class CountingApi(MemoryApi):
    """Takes down what is written.

    Attributes:
        writes: In order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    async def create(self, resource: Resource, manifest: Manifest) -> Manifest:
        self.writes.append(" ".join(["create", resource.kind, *_reason(manifest)]))
        return await super().create(resource, manifest)

    async def replace_status(
        self, resource: Resource, read: Manifest, status: Manifest
    ) -> Manifest:
        of = status if resource is FLOW_RUNS else status.get("lastRun", {})
        self.writes.append(f"status of {resource.kind}: {of.get('phase')}")
        return await super().replace_status(resource, read, status)

    async def patch(self, resource: Resource, *where: Any) -> Manifest:
        self.writes.append(f"patch {resource.kind}")
        return await super().patch(resource, *where)

    async def delete(self, resource: Resource, *where: Any) -> None:
        self.writes.append(f"delete {resource.kind}")
        await super().delete(resource, *where)


def _reason(manifest: Manifest) -> list[str]:
    return [manifest["reason"]] if "reason" in manifest else []


class Life:
    """A deployment is applied, and one run of it succeeds at its first attempt."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.api = CountingApi()
        self.operator = Operator(self.api, lambda _: True)
        self.api.put(FLOW_DEPLOYMENTS, deployment(**spec))

    async def lasts(self, states: Sequence[Manifest], first: float, pause: float) -> None:
        """Let the Pod be seen in these states.

        Args:
            states: The states.
            first: Seconds from the Job to the first of them.
            pause: Seconds from each to the next.
        """
        while not self.api.all(JOBS):
            await self._pass(0.1)
        [job] = self.api.all(JOBS)
        await self._pass(first)
        for state in states:
            self.api.put(PODS, _owned(state, job))
            await self._pass(pause)
        for end in ("SuccessCriteriaMet", "Complete"):
            said = {"conditions": [{"type": end, "status": "True"}]}
            self.api.put(JOBS, {**job, "status": said})
            await self._pass(1)
        await self._pass(30)
        [run] = self.api.all(FLOW_RUNS)
        assert run["status"]["phase"] == "Succeeded"

    async def _pass(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            for kind in self.operator.inboxes:
                self.operator.deliver(kind, 100)
            await self.operator.work()
            self.api.now += timedelta(seconds=0.1)


def _owned(state: Manifest, job: Manifest) -> Manifest:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "controller": True}
    owner |= {name: job["metadata"][name] for name in ("name", "uid")}
    template = job["spec"]["template"]["metadata"]
    return {
        **state,
        "metadata": {**state["metadata"], **template, "namespace": "data",
                     "ownerReferences": [owner]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("states", "first", "pause", "spec", "writes"),
    [
        pytest.param(
            [SUCCEEDED], 0.2, 2.0, {}, AT_LEAST, id="one that ends within a second"
        ),
        pytest.param(
            [SUCCEEDED], 2.0, 2.0, {}, AT_LEAST + PENDING, id="one of which the end is seen"
        ),
        pytest.param(
            [FETCHES, RUNS, SUCCEEDED], 2.0, 2.0, {}, AT_LEAST + PENDING + PHASES,
            id="one of which every phase is seen",
        ),
        pytest.param(
            [FETCHES, RUNS, SUCCEEDED], 2.0, 2.0, TICKS, DUE + AT_LEAST + PENDING + PHASES,
            id="one of a tick",
        ),
        pytest.param(
            [FETCHES, RUNS, SUCCEEDED], 2.0, 2.0, {"concurrencyPolicy": "Forbid"},
            AT_LEAST + PENDING + PHASES + COUNTED,
            id="one that is counted",
        ),
        pytest.param(
            STATES, 2.0, 2.0, {},
            AT_LEAST + PENDING + PHASES + REVISION,
            id="one of which every detail comes late",
        ),
    ],
)  # fmt: skip
async def test_a_run_costs_no_other_writes(
    states: Sequence[Manifest],
    first: float,
    pause: float,
    spec: dict[str, Any],
    writes: list[str],
) -> None:
    life = Life(spec)
    await life.lasts(states, first, pause)
    assert sorted(life.api.writes) == sorted(writes)
