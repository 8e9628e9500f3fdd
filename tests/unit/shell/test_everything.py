"""All objects of a kind come as a stream, and page by page where that does not work."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from flow_operator.shell.cluster import JOBS, Cluster
from flow_operator.shell.connection import Connection
from flow_operator.shell.errors import ForbiddenError
from flow_operator.shell.stream import BOOKMARK, DELETED
from tests.unit.shell.conftest import serve

END = {
    "metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}},
    "spec": {},
}
PROGRESS = {"metadata": {"resourceVersion": "5", "annotations": {}}}
PAGE = {"metadata": {"resourceVersion": "8"}, "items": [{"metadata": {"name": "paged"}}]}


def line(kind: str, item: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


class Server:
    """Answers a stream with the given pieces, and everything else with a page."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.status = 200
        self.streams: list[dict[str, str]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if "sendInitialEvents" not in request.query:
            return web.json_response(PAGE)
        self.streams.append(dict(request.query))
        if self.status != 200:
            message = 'user cannot watch resource "jobs"'
            return web.json_response({"kind": "Status", "message": message}, status=self.status)
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
        return response


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def cluster(server: Server) -> AsyncIterator[Cluster]:
    configuration = Configuration()
    configuration.host, stop = await serve(server)
    made = Cluster(Connection(configuration))
    yield made
    await made.close()
    await stop()


async def read(cluster: Cluster) -> list[tuple[str, str]]:
    return [
        (kind, item["metadata"].get("name") or item["metadata"]["resourceVersion"])
        async for kind, item in cluster.everything(JOBS, None, labels="a=b")
    ]


PAGED = [("ADDED", "paged"), (BOOKMARK, "8")]


async def test_a_stream_ends_with_what_it_is_as_of(cluster: Cluster, server: Server) -> None:
    """Whatever pieces it comes in, and though objects go while it does."""
    text = b"".join(
        [
            line("ADDED", named("a")),
            line(BOOKMARK, PROGRESS),
            line("ADDED", named("b" * 300_000)),
            line(DELETED, named("a")),
            line(BOOKMARK, END),
            line("ADDED", named("later")),
        ]
    )
    server.pieces = [text[:30], text[30:31], text[31:]]
    assert await read(cluster) == [
        ("ADDED", "a"), ("ADDED", "b" * 300_000), (DELETED, "a"), (BOOKMARK, "9")
    ]  # fmt: skip
    assert server.streams[0]["labelSelector"] == "a=b"


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [line("ADDED", named("a"))],
        [line("ADDED", named("a")), b'{"type":"ADDED","obj'],
        [line("ADDED", named("a")), b"<html>\n"],
        [line("ERROR", {"kind": "Status", "code": 410, "message": "too old"})],
        [line(BOOKMARK, {"metadata": {"resourceVersion": "9"}})],
    ],
    ids=["empty", "early", "cut", "nonsense", "error", "bookmark"],
)
async def test_what_does_not_end_well_is_read_page_by_page(
    cluster: Cluster, server: Server, pieces: list[bytes]
) -> None:
    """What comes of it is asked for once more; the next kind is asked for as a stream again."""
    server.pieces = pieces
    assert (await read(cluster))[-2:] == PAGED
    await read(cluster)
    assert len(server.streams) == 2


@pytest.mark.parametrize(("status", "streams"), [(400, 1), (422, 1), (503, 2)])
async def test_a_server_without_streams_is_not_asked_again(
    cluster: Cluster, server: Server, status: int, streams: int
) -> None:
    server.status = status
    assert await read(cluster) == PAGED
    assert await read(cluster) == PAGED
    assert len(server.streams) == streams


async def test_an_identity_is_read_from_how_a_line_begins(cluster: Cluster, server: Server) -> None:
    """What follows is not read; a line that begins otherwise is, as a whole."""
    meta = {"name": "a", "namespace": "data", "uid": "u", "resourceVersion": "3"}
    usual = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
    other = {"metadata": {"labels": {"x": "y"}, **meta}}
    named = meta | {"name": "b"}
    text = line("ADDED", usual | {"metadata": named}).replace(b" ", b"").replace(b"}}\n", b",!\n")
    server.pieces = [text, line("ADDED", other), line(BOOKMARK, END)]
    found = [event async for event in cluster.everything(JOBS, None, only_identity=True)]
    assert found[0] == ("ADDED", {"metadata": named})
    assert found[1:] == [("ADDED", other), (BOOKMARK, END)]


async def test_who_may_not_read_is_told(cluster: Cluster, server: Server) -> None:
    server.status = 403
    with pytest.raises(ForbiddenError):
        await read(cluster)
