"""The bench's own client of the API server: many writes at a time, watches that note the time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from tests.bench.places import BenchError
from tests.bench.scale.plane import Plane

Object = dict[str, Any]

FLOWS = "flow-operator.io/v1alpha1"
RESOURCES = {
    "FlowDeployment": (FLOWS, "flowdeployments"),
    "FlowRun": (FLOWS, "flowruns"),
    "CronJob": ("batch/v1", "cronjobs"),
    "Job": ("batch/v1", "jobs"),
    "Pod": ("v1", "pods"),
    "Event": ("v1", "events"),
    "Namespace": ("v1", "namespaces"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions"),
}

_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_MERGE = "application/merge-patch+json"
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_DISPATCHED = "apiserver_flowcontrol_dispatched_requests_total{"
_OPERATOR = 'flow_schema="service-accounts"'
"""Of ServiceAccounts outside of kube-system: there is none but the operator's."""
_AT_ONCE = 24
_RETRIES = 5


def path_of(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """The path of an object, or of all of a namespace or of the cluster."""
    version, plural = RESOURCES[kind]
    parts = ["/apis" if "/" in version else "/api", version]
    parts += ["namespaces", namespace] if namespace else []
    return "/".join([*parts, plural, *([name] if name else [])])


@dataclass(frozen=True)
class Seen:
    """An event of a watch.

    Attributes:
        at: When it arrived, as `time.time()`.
        type: ADDED, MODIFIED or DELETED.
        object: The object; only its metadata unless more was asked for.
    """

    at: float
    type: str
    object: Object

    @property
    def meta(self) -> Object:
        """The object's metadata."""
        return dict(self.object["metadata"])

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.meta["name"])


@dataclass
class Requests:
    """Numbers of requests.

    Attributes:
        by_verb: Everybody's, by verb and resource.
        operator: The operators', all together.
    """

    by_verb: Counter[tuple[str, str]]
    operator: int

    def since(self, before: Requests) -> Requests:
        """What came after an earlier count."""
        return Requests(self.by_verb - before.by_verb, self.operator - before.operator)


class Api:
    """The administrator's client; open while the `async with` lasts."""

    def __init__(self, plane: Plane) -> None:
        self._server = plane.server
        self._tls = plane.tls()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls)
        timeout = aiohttp.ClientTimeout(total=60)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, read_bufsize=1 << 20
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: dict[str, str] | None = None,
        kind: str = "application/json",
    ) -> Object:
        """Make a request; again when the server is busy.

        Raises:
            BenchError: It was refused, with the server's words.
        """
        data = json.dumps(body, separators=(",", ":")).encode() if body is not None else None
        for attempt in range(_RETRIES):
            async with self._session.request(
                method,
                self._server + path,
                data=data,
                params=query,
                headers={"Content-Type": kind, "Accept": "application/json"},
            ) as response:
                answer = await response.read()
            if response.status not in (429, 503):
                break
            await asyncio.sleep(0.2 * 2**attempt)
        if response.status >= 400:
            raise RefusedError(response.status, f"{method} {path}: {answer.decode()[:600]}")
        return dict(json.loads(answer)) if answer else {}

    async def create(self, manifest: Object) -> Object:
        """Create an object."""
        namespace = manifest["metadata"].get("namespace")
        return await self.request("POST", path_of(manifest["kind"], namespace), manifest)

    async def patch(
        self, kind: str, namespace: str, name: str, change: Object, *, status: bool = False
    ) -> None:
        """Merge a change into an object, or into its status."""
        path = path_of(kind, namespace, name) + ("/status" if status else "")
        await self.request("PATCH", path, change, kind=_MERGE)

    async def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object, or None."""
        try:
            return await self.request("GET", path_of(kind, namespace, name))
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: str, namespace: str | None = None, **query: str) -> list[Object]:
        """All objects of a kind."""
        answer = await self.request("GET", path_of(kind, namespace), query=query)
        return list(answer["items"])

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object, and in the background what it owns."""
        options = {"propagationPolicy": "Background"}
        await self.request("DELETE", path_of(kind, namespace, name), query=options)

    async def delete_all(self, namespace: str, *kinds: str) -> None:
        """Delete all objects of these kinds, and nothing else: they may own what they like."""
        for kind in kinds:
            query = {"propagationPolicy": "Background"}
            while await self.list(kind, namespace, limit="1"):
                with contextlib.suppress(TimeoutError):  # a slow server deletes on
                    await self.request("DELETE", path_of(kind, namespace), query=query)
                await asyncio.sleep(0.2)

    async def together(self, work: Iterable[Awaitable[Any]], at_once: int = _AT_ONCE) -> None:
        """Await all of it, so many at a time."""
        todo = iter(work)

        async def worker() -> None:
            for each in todo:
                await each

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())

    async def namespace(self, name: str) -> None:
        """Make a namespace that takes Pods, though no controller looks after it."""
        await self.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
        account = {"name": "default", "namespace": name}
        await self.create({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": account})

    async def revision(self) -> int:
        """The number of the cluster's last write, of any kind."""
        answer = await self.request(
            "GET", path_of("ServiceAccount", "default"), query={"limit": "1"}
        )
        return int(answer["metadata"]["resourceVersion"])

    async def settled(self, *, quiet: float = 3.0, patience: float = 300.0) -> float:
        """Wait until nothing is written but the leases of the control plane.

        Returns:
            When the last write was, within `quiet` seconds before now.

        Raises:
            BenchError: There is always something.
        """
        deadline = time.time() + patience
        while time.time() < deadline:
            before, began = await self.revision(), time.time()
            await asyncio.sleep(quiet)
            if await self.revision() - before <= 1 + quiet:
                return began
        raise BenchError(f"after {patience:.0f} s there are still writes")

    @contextlib.asynccontextmanager
    async def watching(
        self, kind: str, namespace: str | None, note: Callable[[Seen], None], *, whole: bool = False
    ) -> AsyncIterator[None]:
        """Have `note` called with every event from now on; with whole objects if need be.

        The API server ends watches whose events are not read quickly enough; they go on.
        """
        answer = await self.request("GET", path_of(kind, namespace), query={"limit": "1"})
        version = answer["metadata"]["resourceVersion"]

        async def connect() -> aiohttp.ClientResponse:
            return await self._session.get(
                self._server + path_of(kind, namespace),
                params={"watch": "true", "timeoutSeconds": "86400", "resourceVersion": version},
                headers={"Accept": "application/json" if whole else _METADATA},
                timeout=aiohttp.ClientTimeout(total=None),
            )

        response = await connect()

        async def read() -> None:
            nonlocal response, version
            while True:
                async for line in response.content:
                    if not line.endswith(b"\n"):
                        break
                    at = time.time()
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise BenchError(f"the bench's watch of {kind} failed: {event['object']}")
                    version = event["object"]["metadata"]["resourceVersion"]
                    note(Seen(at, event["type"], event["object"]))
                response.close()
                response = await connect()

        task = asyncio.create_task(read())
        self._tasks.add(task)
        try:
            yield
            if task.done():
                raise BenchError(f"the bench's watch of {kind} ended early") from task.exception()
        finally:
            self._tasks.discard(task)
            task.cancel()
            response.close()

    async def requests(self) -> Requests:
        """What the API server has answered since it started."""
        async with self._session.get(f"{self._server}/metrics") as response:
            text = await response.text()
        found = Requests(Counter(), 0)
        for line in text.splitlines():
            if line.startswith("apiserver_request_total{"):
                labels = dict(_LABEL.findall(line))
                resource = "/".join(filter(None, (labels["resource"], labels["subresource"])))
                found.by_verb[labels["verb"], resource] += int(float(line.rpartition(" ")[2]))
            elif line.startswith(_DISPATCHED) and _OPERATOR in line:
                found.operator += int(float(line.rpartition(" ")[2]))
        return found


class RefusedError(BenchError):
    """The API server refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
