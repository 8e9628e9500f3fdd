"""An HTTP server that answers as it is told, for what a real API server does not do on demand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from flow_operator.shell.cluster import Cluster
from flow_operator.shell.connection import Connection
from flow_operator.shell.store import Store


class Seen(NamedTuple):
    """A request that has arrived."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@dataclass
class Script:
    """What the server answers, in order; the last answer is repeated."""

    answers: list[Answer] = field(default_factory=lambda: [(200, {})])
    seen: list[Seen] = field(default_factory=list)
    address: str = ""

    async def __call__(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.path,
                dict(request.query),
                json.loads(body) if body else None,
                dict(request.headers),
            )
        )
        code, answer, *headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if code == 0 and request.transport:  # hang up
            request.transport.close()
        return web.json_response(answer, status=code or 200, headers=headers[0] if headers else {})


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    made = Script()
    made.address, stop = await serve(made)
    yield made
    await stop()


@pytest.fixture
async def connection(script: Script) -> Connection:
    configuration = Configuration()
    configuration.host = script.address
    configuration.api_key["BearerToken"] = "Bearer t0ken"
    return Connection(configuration)


@pytest.fixture
async def cluster(connection: Connection) -> AsyncIterator[Cluster]:
    made = Cluster(connection)
    yield made
    await made.close()


@pytest.fixture
def store() -> Store:
    return Store(lambda *_: None)


async def serve(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> tuple[str, Callable[[], Awaitable[None]]]:
    """Serve on a free port; return the address, and how to stop."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}", runner.cleanup
