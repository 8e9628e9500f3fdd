"""Thousands of deployments with schedules, each with one finished run, its Job and its Pod.

One is made by the operator itself, with real controllers and a played kubelet; the bench writes
copies of it. What the operator still wants to add is added when it first sees them.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.bench.places import BenchError
from tests.bench.scale import objects
from tests.bench.scale.api import RESOURCES, Api, Object
from tests.bench.scale.bench import Options, say
from tests.bench.scale.kubelet import Kubelet
from tests.bench.scale.operators import Operator, running
from tests.bench.scale.plane import Plane
from tests.bench.scale.usage import Memory, Meter

NAMESPACES = 20

_SEED = "seed"
_SAY_SECONDS = 15.0
_TEN_DAYS = 10 * 86_400
_OWN = ("name", "namespace", "labels", "annotations", "ownerReferences")
_GENERATED = ("controller-uid", "job-name")


@dataclass(frozen=True)
class Loaded:
    """What came out while the load was made.

    Attributes:
        count: How many deployments there are.
        empty: The operator's memory on an empty cluster.
        made: Seconds that the bench took.
        adopted: Seconds until the operator, seeing them for the first time, was at rest.
        adoption_cpu: Processor seconds of the operator until then.
        adoption_requests: Its requests until then.
    """

    count: int
    empty: Memory
    made: float
    adopted: float
    adoption_cpu: float
    adoption_requests: int


async def make(plane: Plane, api: Api, options: Options) -> Loaded:
    """Make it, and let the operator see it once."""
    count = options.size(10_000, 60)
    await api.namespace(_SEED)
    family, empty = await _seed(plane, api, options)
    namespaces = [f"load-{number:02}" for number in range(NAMESPACES)]
    for namespace in namespaces:
        await api.namespace(namespace)
    say(f"{count:,} deployments, each with a finished run, its Job and its Pod")
    began = time.time()
    await api.together(_copies(api, family, namespaces, count))
    made = time.time() - began
    say(f"made in {made:.0f} s; now the operator sees them for the first time")
    before = (await api.requests()).operator
    async with running(Operator(plane, options.build)) as operator:
        meter = Meter({"operator": operator.pid})
        adopted = await api.settled(quiet=5, patience=1200) - operator.started
        cpu = meter.read()["operator"]
    requests = (await api.requests()).operator - before
    say(f"at rest after {adopted:.0f} s, {cpu:.0f} s of processor time, {requests:,} requests")
    return Loaded(count, empty, made, adopted, cpu, requests)


async def _seed(plane: Plane, api: Api, options: Options) -> tuple[dict[str, Object], Memory]:
    """Return a deployment, its run, its Job and its Pod, as they are when the run has ended."""
    say("one run from beginning to end, to be copied")
    with plane.controllers("job-controller", "garbage-collector-controller"):
        async with running(Operator(plane, options.build)) as operator:
            await api.settled()
            empty = operator.memory()
            async with Kubelet(api).playing(_SEED):
                soon = datetime.fromtimestamp(time.time() + 3, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                schedules = objects.every(_TEN_DAYS, soon)
                await api.create(objects.deployment(_SEED, "seed-0000", schedules=schedules))
                await _ended(api)
                await api.settled()
    family = {}
    for kind in ("FlowDeployment", "FlowRun", "Job", "Pod"):
        found = await api.list(kind, _SEED)
        if len(found) != 1:
            raise BenchError(f"{len(found)} objects of kind {kind} where one was expected")
        family[kind] = {**found[0], "apiVersion": RESOURCES[kind][0], "kind": kind}
    await api.delete_all(_SEED, *family, "Event")
    return family, empty


async def _ended(api: Api) -> None:
    for _ in range(300):
        runs = await api.list("FlowRun", _SEED)
        if any((run.get("status") or {}).get("completionTime") for run in runs):
            return
        await asyncio.sleep(0.2)
    raise BenchError("the run does not end")


def _copies(
    api: Api, family: dict[str, Object], namespaces: list[str], count: int
) -> Iterator[Coroutine[Any, Any, None]]:
    said = time.time()
    for number in range(count):
        if time.time() - said > _SAY_SECONDS:
            said = time.time()
            say(f"… {number:,}")
        yield _copy(api, family, namespaces[number % len(namespaces)], number)


async def _copy(api: Api, family: dict[str, Object], namespace: str, number: int) -> None:
    name = f"load-{number:05}"
    schedules = objects.cron(_not_soon(number))
    parent = await api.create(objects.deployment(namespace, name, schedules=schedules))
    names = {family["FlowDeployment"]["metadata"]["name"]: name, _SEED: namespace}
    made = {"FlowDeployment": parent}
    for kind, owner in (("FlowRun", "FlowDeployment"), ("Job", "FlowRun"), ("Pod", "Job")):
        seed = family[kind]
        names[seed["metadata"]["name"]] = _renamed(seed["metadata"]["name"], name)
        names[family[owner]["metadata"]["uid"]] = made[owner]["metadata"]["uid"]
        clone = _replaced(seed, names)
        made[kind] = await api.create(_creatable(clone))
        status = {"status": clone["status"]}
        await api.patch(kind, namespace, made[kind]["metadata"]["name"], status, status=True)


def _renamed(seed: str, name: str) -> str:
    """The name of a copy: as long as the original's, and with another hash."""
    head, _, tail = seed.removeprefix("seed-0000-").partition("-")
    fresh = secrets.token_hex(len(head) // 2 + 1)[: len(head)]
    return "-".join(filter(None, (name, fresh, tail)))


def _replaced(seed: Object, names: dict[str, str]) -> Object:
    """A copy in which the names and UIDs of the originals are those of the copies."""
    text = json.dumps(seed)
    for old in sorted(names, key=len, reverse=True):
        text = text.replace(f'"{old}"', f'"{names[old]}"')
    return dict(json.loads(text))


def _creatable(manifest: Object) -> Object:
    """The same without what the API server fills in."""
    meta = {key: value for key, value in manifest["metadata"].items() if key in _OWN}
    fresh: Object = {**manifest, "metadata": _without_generated(meta)}
    fresh.pop("status", None)
    if manifest["kind"] == "Job":
        spec = {key: value for key, value in manifest["spec"].items() if key != "selector"}
        template = {
            **spec["template"],
            "metadata": _without_generated(spec["template"]["metadata"]),
        }
        fresh["spec"] = {**spec, "template": template}
    return fresh


def _without_generated(meta: dict[str, Any]) -> dict[str, Any]:
    labels = meta.get("labels") or {}
    kept = {key: value for key, value in labels.items() if key.rpartition("/")[2] not in _GENERATED}
    return {**meta, "labels": kept}


def _not_soon(number: int) -> str:
    """A daily schedule that is not due within the next three hours, another one for each number."""
    hour = (datetime.now(UTC).hour + 4 + number % 18) % 24
    return f"{number % 60} {hour} * * *"
