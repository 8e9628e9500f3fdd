"""An HTTP proxy before the API server that counts writes and kills their sender at one of them.

It serves plain HTTP on loopback and forwards with the credentials of a `Connection`, so that it
sees every request whole. Watches are streamed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

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
class Proxy:
    """The way of one operator to the API server.

    Args:
        connection: Where to forward to.
        impersonate: The user to act as; empty: whoever the connection's credentials are for.
        strike: Called once at the fault, before anything else happens; kills the operator.
    """

    connection: Connection
    impersonate: str = ""
    strike: Callable[[], None] = lambda: None
    writes: list[Write] = field(default_factory=list)
    reads: int = 0
    watches: set[str] = field(default_factory=set)
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""
    _fault: Fault | None = None

    async def start(self) -> None:
        """Serve on a free port of loopback; `address` says where."""
        self._session = self.connection.session()
        app = web.Application(client_max_size=16 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self._handle)
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

    def arm(self, fault: Fault | None) -> None:
        """Count from one again, and strike at that write."""
        self.writes.clear()
        self.reads = 0
        self._fault = fault

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, body = request.rel_url.path, await request.read()
        counts = request.method in WRITES and not path.startswith(QUESTIONS)
        if self.struck.is_set():
            raise _Severed
        if counts:
            self.writes.append(Write(request.method, path))
        elif request.method == "GET" and "watch" not in request.query:
            self.reads += 1
        fault = self._fault
        hit = fault if fault and counts and len(self.writes) == fault.number else None
        if hit and hit.when == "before":
            self._strike()
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
            if request.query.get("watch") == "true":
                return await self._stream(request, upstream)
            answer = await upstream.read()
            if hit:
                self._strike()
            kind = upstream.headers.get("Content-Type", "application/json")
            return web.Response(status=upstream.status, body=answer, headers={"Content-Type": kind})

    async def _stream(
        self, request: web.Request, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=upstream.status)
        await response.prepare(request)
        if upstream.status == 200:
            self.watches.add(request.rel_url.path)
        with contextlib.suppress(ConnectionError):
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
        return response

    def _strike(self) -> None:
        self.strike()
        self.struck.set()
        raise _Severed


class _Severed(web.HTTPServiceUnavailable):
    """Ends a request whose sender is dead."""
