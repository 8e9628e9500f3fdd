"""HTTP proxies before the API server: one that only forwards, and one that counts and strikes.

They serve plain HTTP on loopback and forward with the credentials of a `Connection`, so that they
see every request whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import aiohttp
from aiohttp import web

from flow_operator.shell.connection import Connection

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
QUESTIONS = "/apis/authorization.k8s.io/"
"""Asked by POST, but nothing is written."""


class Write(NamedTuple):
    """A write that the proxy has seen."""

    method: str
    path: str


@dataclass(frozen=True)
class Fault:
    """At which write to strike: before the API server sees it, or after it has answered."""

    number: int
    when: Literal["before", "after"]

    def __str__(self) -> str:
        return f"{self.when} write {self.number}"


@dataclass
class Forwarder:
    """The way of one client to the API server; what happens on it is up to `handle`.

    Args:
        connection: Where to forward to.
        impersonate: The user to act as; empty: whoever the connection's credentials are for.

    Attributes:
        watches: The paths of what the client has watched.
    """

    connection: Connection
    impersonate: str = ""
    address: str = field(default="", init=False)
    watches: set[str] = field(default_factory=set, init=False)

    async def start(self) -> None:
        """Serve on a free port of loopback; `address` says where."""
        self._session = self.connection.session()
        app = web.Application(client_max_size=16 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self.handle)
        # Handlers of watches end with their clients, and do not hold up the end of the proxy.
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def forward(
        self, request: web.Request, body: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make a request of the API server, in place of who sent it."""
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "authorization", "content-length", "accept-encoding")
        }
        if self.impersonate:
            headers["Impersonate-User"] = self.impersonate
        async with self._session.request(
            request.method,
            self.connection.server + str(request.rel_url),
            data=body or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as upstream:
            yield upstream

    async def stream(
        self, request: web.Request, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        """Pass on an answer as it comes, and take note of the watch that it is."""
        response = web.StreamResponse(status=upstream.status)
        await response.prepare(request)
        if upstream.status == 200 and goes_on(request):
            self.watches.add(request.rel_url.path)
        with contextlib.suppress(ConnectionError):
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
        return response


def is_watch(request: web.Request) -> bool:
    """Tell whether the answer is a stream."""
    return request.query.get("watch") in ("true", "1")


def goes_on(request: web.Request) -> bool:
    """Tell whether a watch goes on from what is known, and does not send everything first."""
    return "sendInitialEvents" not in request.query


def answer(upstream: aiohttp.ClientResponse, body: bytes) -> web.Response:
    """Return the answer of the API server to whom it is for."""
    headers = {"Content-Type": upstream.headers.get("Content-Type", "application/json")}
    if wait := upstream.headers.get("Retry-After"):
        headers["Retry-After"] = wait
    return web.Response(status=upstream.status, body=body, headers=headers)


def kubeconfig_for(server: str) -> dict[str, Any]:
    """Return the kubeconfig that leads a client to a proxy."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "nobody", "user": {"token": "none"}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
        "current-context": "proxy",
    }


@dataclass
class Proxy(Forwarder):
    """The way of one operator to the API server.

    Args:
        strike: Called once at the fault, before anything else happens; kills the operator.
    """

    strike: Callable[[], None] = lambda: None
    writes: list[Write] = field(default_factory=list)
    reads: int = 0
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    _fault: Fault | None = None

    def arm(self, fault: Fault | None) -> None:
        """Count from one again, and strike at that write."""
        self.writes.clear()
        self.reads = 0
        self._fault = fault

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path, body = request.rel_url.path, await request.read()
        counts = request.method in WRITES and not path.startswith(QUESTIONS)
        if self.struck.is_set():
            raise _Severed
        if counts:
            self.writes.append(Write(request.method, path))
        elif request.method == "GET" and not is_watch(request):
            self.reads += 1
        fault = self._fault
        hit = fault if fault and counts and len(self.writes) == fault.number else None
        if hit and hit.when == "before":
            self._strike()
        async with self.forward(request, body) as upstream:
            if is_watch(request):
                return await self.stream(request, upstream)
            content = await upstream.read()
            if hit:
                self._strike()
            return answer(upstream, content)

    def _strike(self) -> None:
        self.strike()
        self.struck.set()
        raise _Severed


class _Severed(web.HTTPServiceUnavailable):
    """Ends a request whose sender is dead."""
