"""What a watch tells of an object is taken where it arrives; kopf hears of the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from flow_operator.core import names
from flow_operator.shell.cluster import (
    FLOW_DEPLOYMENTS,
    FLOW_RUNS,
    JOBS,
    PODS,
    WATCHED,
    Cluster,
    Resource,
)
from flow_operator.shell.connection import Connection
from flow_operator.shell.liveness import Liveness
from flow_operator.shell.store import Store
from flow_operator.shell.sync import compare, load
from flow_operator.shell.watching import object_of, watch
from tests.unit.shell.conftest import serve
from tests.unit.shell.objects import job


def line(kind: str, manifest: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": manifest}, separators=(",", ":")).encode()


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
def test_an_object_that_is_there_is_taken(kind: str) -> None:
    found = object_of("jobs", line(kind, job("a", 7, "etl-1")))
    assert found
    record, concern = found
    assert (record.kind, record.name, record.version) == ("Job", "a", 7)
    assert [key.name for key in concern.now + concern.later] == ["etl-1"]


@pytest.mark.parametrize(
    "told",
    [
        line("DELETED", job("a", 7, "etl-1")),
        b'{"type":"BOOKMARK","object":{"kind":"Job","metadata":{"resourceVersion":"9"}}}',
        b'{"type":"ERROR","object":{"code":410}}',
        b'{"type":"ADDED","object":{"metadata":{}}}',
        b'{"type":"MODIFIED","object":{"metadata"',
    ],
)
def test_kopf_hears_of_everything_else(told: bytes) -> None:
    """Of what is gone, so that it forgets it, and of what is wrong with a watch."""
    assert object_of("jobs", told) is None


def test_kopf_hears_of_other_kinds() -> None:
    assert object_of("namespaces", line("MODIFIED", job("a", 7, "etl-1"))) is None


NAMESPACES = Resource("v1", "Namespace", "namespaces")
"""kopf waits until it knows of this kind, and does not ask for any of it."""

ALL_SENT = {
    "metadata": {"resourceVersion": "7", "annotations": {"k8s.io/initial-events-end": "true"}}
}


class EmptyApi:
    """An API server without objects; the first watch of each kind began too long ago for it.

    Attributes:
        streams: By plural, the label selectors under which everything was asked for as a stream.
        lists: The same for lists.
        watches: The same for watches.
    """

    def __init__(self) -> None:
        self.streams: dict[str, list[str | None]] = {kind.plural: [] for kind in WATCHED}
        self.lists: dict[str, list[str | None]] = {kind.plural: [] for kind in WATCHED}
        self.watches: dict[str, list[str | None]] = {kind.plural: [] for kind in WATCHED}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rpartition("/")[2]
        selector = request.query.get("labelSelector")
        if plural not in self.lists:
            return web.json_response(discovery(request.path))
        if "watch" not in request.query:
            self.lists[plural].append(selector)
            return web.json_response({"metadata": {"resourceVersion": "7"}, "items": []})
        response = web.StreamResponse()
        await response.prepare(request)
        if "sendInitialEvents" in request.query:
            self.streams[plural].append(selector)
            await response.write(line("BOOKMARK", ALL_SENT) + b"\n")
            return response
        self.watches[plural].append(selector)
        if len(self.watches[plural]) == 1:
            await response.write(line("ERROR", {"code": 410}) + b"\n")
        else:
            await asyncio.sleep(60)
        return response


def discovery(path: str) -> dict[str, Any]:
    """Return what an API server says of the kinds that it has."""
    versions = {kind.group: kind.api_version.rpartition("/")[2] for kind in WATCHED}
    if path == "/api":
        return {"versions": [versions[""]]}
    if path == "/apis":
        groups = [
            {"name": group, "versions": [{"version": version}],
             "preferredVersion": {"version": version}}
            for group, version in versions.items() if group
        ]  # fmt: skip
        return {"groups": groups}
    resources = [
        {"name": kind.plural, "kind": kind.kind, "singularName": kind.kind.lower(),
         "namespaced": kind is not NAMESPACES, "verbs": ["list", "watch"]}
        for kind in (*WATCHED, NAMESPACES) if kind.path(None) == f"{path}/{kind.plural}"
    ]  # fmt: skip
    return {"resources": resources}


@pytest.fixture
async def api() -> AsyncIterator[tuple[EmptyApi, Connection]]:
    made, configuration = EmptyApi(), Configuration()
    configuration.host, stop = await serve(made)
    yield made, Connection(configuration)
    await stop()


@pytest.mark.parametrize("namespaces", [(), ("data",)], ids=["everywhere", "in a namespace"])
async def test_of_jobs_and_pods_only_ours_are_asked_for(
    api: tuple[EmptyApi, Connection], namespaces: tuple[str, ...]
) -> None:
    """By label, whoever asks: at the start, to watch, after 410 Gone, and at a resync.

    Else the API server would send every Job and Pod of the cluster.
    """
    server, connection = api
    cluster, store = Cluster(connection), Store(lambda _: None)
    scopes = namespaces or (None,)
    loaded = await load(cluster, scopes, store)
    liveness = Liveness(loaded.versions)
    watching = asyncio.create_task(watch(connection, namespaces, store, liveness, loaded.versions))
    try:
        async with asyncio.timeout(20):
            while any(len(asked) < 2 for asked in server.watches.values()):
                assert not watching.done()
                await asyncio.sleep(0.02)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    for kind in WATCHED:
        await compare(cluster, scopes[0], kind, store)
    await cluster.close()

    ours = f"{names.LABEL_MANAGED_BY}={names.MANAGER}"
    expected = {
        FLOW_DEPLOYMENTS.plural: [None, None],
        FLOW_RUNS.plural: [None, None],
        JOBS.plural: [ours, ours],
        PODS.plural: [ours, ours],
    }
    assert server.watches == expected
    assert server.lists == expected
    assert server.streams == expected
