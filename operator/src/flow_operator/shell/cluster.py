"""The only module that talks to the API server: plain JSON over a pool of connections.

There is no rate limit on this side; the server's own (429 and Retry-After) is obeyed. Reads are
tried again for a moment when the server or the network fails. Writes are not, except after 429,
which says that nothing happened: whoever asked looks at the cluster anew and decides again. That
every write may have happened although its answer was lost is what the decisions are made for.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from pydantic_core import from_json, to_json

from flow_operator.api.v1alpha1 import API_VERSION
from flow_operator.shell.answers import error_of
from flow_operator.shell.connection import Connection
from flow_operator.shell.errors import (
    InvalidError,
    NotFoundError,
    NotLeaderError,
    UnavailableError,
)
from flow_operator.shell.guard import GuardedBody
from flow_operator.shell.stream import (
    ACCEPT_IDENTITY,
    BOOKMARK,
    QUERY,
    TIMEOUT,
    StreamError,
    read_events,
)

_CHUNK = 500
_TRIES = 4
_FIRST_DELAY = 0.1
_LONGEST_WAIT = 10.0
_JSON = "application/json"
_ONLY_METADATA = f"{_JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)

logger = logging.getLogger(__name__)

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of namespaced object, as the API server's paths name it."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the path of an object, or of all of a namespace or of the cluster."""
        prefix = "/apis/" if self.group else "/api/"
        parts = [prefix + self.api_version]
        if namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        return "/".join(parts)


FLOW_DEPLOYMENTS = Resource(API_VERSION, "FlowDeployment", "flowdeployments")
FLOW_RUNS = Resource(API_VERSION, "FlowRun", "flowruns")
JOBS = Resource("batch/v1", "Job", "jobs")
PODS = Resource("v1", "Pod", "pods")
EVENTS = Resource("v1", "Event", "events")
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")
WATCHED = (FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS)


class Cluster:
    """Reads and writes objects.

    Every method raises a `ClusterError` of `flow_operator.shell.errors`; `UnavailableError` and
    `ConflictError` are worth another try from the beginning, the others are answers.

    Args:
        connection: The way to the API server.
        may_write: Asked at the last moment before a write leaves; when it says no, the methods
            that write raise `NotLeaderError`.
    """

    def __init__(
        self, connection: Connection, may_write: Callable[[], bool] = lambda: True
    ) -> None:
        self.server = connection.server
        self._session = connection.session()
        self._may_write = may_write
        self._can_stream = True

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def find(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        """Return the object as it is now, or None."""
        try:
            return await self.read(resource.path(namespace, name))
        except NotFoundError:
            return None

    async def version(self, resource: Resource, namespace: str) -> int:
        """Return a resourceVersion that no object of a kind has passed so far."""
        page = await self.read(resource.path(namespace), {"limit": "1"}, only_metadata=True)
        return int(page["metadata"]["resourceVersion"])

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> list[Manifest]:
        """Return all objects of a namespace, or of the cluster, that the selectors select.

        A list that expires in between fails as `NotFoundError`.
        """
        pages = self.pages(resource, namespace, labels=labels, fields=fields)
        return [item async for page in pages for item in page["items"]]

    async def pages(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        only_metadata: bool = False,
    ) -> AsyncIterator[Manifest]:
        """Yield the same in lists of at most 500, all of them of one resourceVersion.

        Args:
            resource: The kind.
            namespace: Where; None: everywhere.
            labels: A label selector.
            fields: A field selector.
            only_metadata: Whether to leave out all but the metadata.
        """
        query = {"limit": str(_CHUNK)}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        while True:
            page = await self.read(resource.path(namespace), query, only_metadata=only_metadata)
            yield page | {"items": page.get("items") or []}
            token = page.get("metadata", {}).get("continue")
            if not token:
                return
            query["continue"] = token

    async def everything(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str | None = None,
        only_identity: bool = False,
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Yield all objects of a kind as events of a watch; last a bookmark of what that is as of.

        The API server streams them from its cache (KEP-3157), and need not read each page of
        custom resources from etcd: half of the time. One that does not know how to, or does not
        come to an end, is asked for pages.

        Args:
            resource: The kind.
            namespace: Where; None: everywhere.
            labels: A label selector.
            only_identity: Whether name, namespace, UID and resourceVersion are enough.
        """
        if self._can_stream:
            try:
                path = resource.path(namespace)
                async for event in self._stream(path, labels, only_identity=only_identity):
                    yield event
                return
            except InvalidError as error:
                self._can_stream = False
                logger.debug("%s: no streams: %s", resource.plural, error)
            except UnavailableError as error:
                logger.info("%s: page by page, for a stream failed: %s", resource.plural, error)
        last: Manifest = {}
        pages = self.pages(resource, namespace, labels=labels, only_metadata=only_identity)
        async for page in pages:
            for item in page["items"]:
                yield "ADDED", item
            last = page["metadata"]
        yield BOOKMARK, {"metadata": last}

    async def _stream(
        self, path: str, labels: str | None, *, only_identity: bool
    ) -> AsyncIterator[tuple[str, Manifest]]:
        query = QUERY | ({"labelSelector": labels} if labels else {})
        request = f"GET {path} as a stream"
        try:
            async with self._session.get(
                self.server + path,
                params=query,
                headers={"Accept": ACCEPT_IDENTITY if only_identity else _JSON},
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as response:
                if response.status >= 400:
                    raise error_of(request, response.status, await response.read())
                async for event in read_events(response.content, only_identity=only_identity):
                    yield event
        except (aiohttp.ClientError, OSError, StreamError) as error:
            raise UnavailableError(f"{request}: {error or type(error).__name__}") from error

    async def create(self, resource: Resource, manifest: Manifest) -> Manifest:
        """Create an object; a field that its kind does not have is an error.

        Raises:
            AlreadyExistsError: Compare who controls the one that is there.
            InvalidError: It can never be created.
            NamespaceGoneError, AdmissionDeniedError, ForbiddenError: It cannot be created now.
        """
        path = resource.path(manifest["metadata"]["namespace"])
        return await self._send("POST", path, manifest, query={"fieldValidation": "Strict"})

    async def replace(self, resource: Resource, manifest: Manifest) -> Manifest:
        """Replace an object, unless it has changed since it was read; return it.

        Raises:
            ConflictError: It has changed.
            NotFoundError: It is gone.
        """
        meta = manifest["metadata"]
        return await self._send("PUT", resource.path(meta["namespace"], meta["name"]), manifest)

    async def replace_status(
        self, resource: Resource, read: Manifest, status: Manifest
    ) -> Manifest:
        """Replace the status of an object, unless it has changed since it was read; return it.

        Only the status is sent: the server takes nothing else from this request.

        Raises:
            ConflictError: It has changed.
            NotFoundError: It is gone.
        """
        meta = {key: read["metadata"][key] for key in ("namespace", "name", "resourceVersion")}
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": meta | {"uid": read["metadata"]["uid"]},
            "status": status,
        }
        path = resource.path(meta["namespace"], meta["name"]) + "/status"
        return await self._send("PUT", path, body)

    async def patch(
        self, resource: Resource, namespace: str, name: str, uid: str, change: Manifest
    ) -> Manifest:
        """Merge a change into the object of that UID; return it.

        Raises:
            ConflictError: The object of that name is another one by now.
            NotFoundError: It is gone.
        """
        body = {**change, "metadata": {**change.get("metadata", {}), "uid": uid}}
        return await self._send(
            "PATCH",
            resource.path(namespace, name),
            body,
            content_type="application/merge-patch+json",
        )

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Delete the object of that UID and, in the background, what it owns.

        Raises:
            ConflictError: The object of that name is another one by now.
            NotFoundError: It is gone already.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        await self._send("DELETE", resource.path(namespace, name), options)

    async def may(
        self, verb: str, group: str, resource: str, namespace: str | None, name: str = ""
    ) -> bool:
        """Tell whether the operator's RBAC rules let it do something, if given to that object."""
        kind, _, subresource = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": kind, "subresource": subresource}
        attributes["name"] = name
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes | {"namespace": namespace or ""}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await self._send("POST", path, review)
        return bool(answer.get("status", {}).get("allowed"))

    async def read(
        self, path: str, query: dict[str, str] | None = None, *, only_metadata: bool = False
    ) -> Manifest:
        """Return what the server has at a path; it is asked again when it or the network fails."""
        accept = _ONLY_METADATA if only_metadata else _JSON
        delay = _FIRST_DELAY
        for _ in range(_TRIES - 1):
            try:
                return await self._send("GET", path, query=query, accept=accept)
            except UnavailableError:
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                delay *= 2
        return await self._send("GET", path, query=query, accept=accept)

    async def _send(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        query: dict[str, str] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Manifest:
        """Make one request, again only when the server said 429 and for how long to wait."""
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        for _ in range(_TRIES - 1):
            try:
                return await self._send_once(method, path, body, query, headers)
            except UnavailableError as error:
                if error.retry_after is None or error.retry_after > _LONGEST_WAIT:
                    raise
                await asyncio.sleep(error.retry_after + random.uniform(0, 0.5))  # noqa: S311
        return await self._send_once(method, path, body, query, headers)

    async def _send_once(
        self,
        method: str,
        path: str,
        body: Manifest | None,
        query: dict[str, str] | None,
        headers: dict[str, str],
    ) -> Manifest:
        if method != "GET" and not self._may_write():
            raise NotLeaderError(f"{method} {path}: this process does not lead")
        data = None
        if body is not None:
            data = GuardedBody(to_json(body), self._may_write)
        try:
            async with self._session.request(
                method,
                self.server + path,
                params=query,
                data=data,
                headers=headers,
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                answer = await response.read()
        except TimeoutError as error:
            raise UnavailableError(
                f"{method} {path}: the API server did not answer in time"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            if data is not None and data.refused:
                raise NotLeaderError(f"{method} {path}: this process leads no longer") from error
            raise UnavailableError(f"{method} {path}: {error or type(error).__name__}") from error
        if response.status >= 400:
            retry_after = response.headers.get("Retry-After") if response.status == 429 else None
            raise error_of(f"{method} {path}", response.status, answer, retry_after)
        try:
            return from_json(answer) if answer else {}
        except ValueError as error:
            raise UnavailableError(f"{method} {path}: the answer is not JSON") from error
