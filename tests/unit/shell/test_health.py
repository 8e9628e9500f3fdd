"""The probes tell a dead watch from a dead API server, and a stuck worker from a busy one."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import aiohttp
from aiohttp import web

from flow_operator.shell.cluster import Cluster
from flow_operator.shell.errors import UnavailableError
from flow_operator.shell.health import ELECTION_STUCK_SECONDS, STUCK_SECONDS, Health
from flow_operator.shell.liveness import SILENCE_SECONDS, Liveness
from tests.unit.shell.conftest import serve


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Stands for an API server of which only one thing is asked: whether it answers."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers

    async def read(self, path: str) -> dict[str, Any]:
        if not self.answers:
            raise UnavailableError("down")
        return {}


def health(liveness: Liveness, *, answers: bool = True, slowest: float = 0.0) -> Health:
    cluster = cast("Cluster", Server(answers=answers))
    return Health(cluster, liveness, lambda: (slowest, "FlowRun data/x"), [])


def test_a_watch_is_unopened_until_it_shows_life() -> None:
    liveness = Liveness(["/a", "/b"], Clock())
    liveness.note("/a")
    liveness.note("/elsewhere")
    assert liveness.unopened() == ["/b"]
    assert health(liveness).ready() == ["not listed yet: /b"]
    liveness.note("/b")
    assert health(liveness).ready() == []


def test_a_watch_that_shows_no_life_for_long_is_silent() -> None:
    clock = Clock()
    liveness = Liveness(["/a"], clock)
    liveness.note("/a")
    clock.now += SILENCE_SECONDS
    assert liveness.silent() == []
    clock.now += 1
    assert liveness.silent() == ["/a"]
    liveness.restart()
    assert liveness.silent() == []
    assert liveness.unopened() == ["/a"]


async def test_a_restart_is_asked_for_only_when_it_would_help() -> None:
    clock = Clock()
    liveness = Liveness(["/a"], clock)
    clock.now += SILENCE_SECONDS + 1
    assert await health(liveness, answers=True).alive() != []
    assert await health(liveness, answers=False).alive() == []
    assert health(liveness, answers=False).ready() != []


async def test_a_stuck_key_is_named() -> None:
    liveness = Liveness([])
    assert await health(liveness, slowest=STUCK_SECONDS).alive() == []
    (problem,) = await health(liveness, slowest=STUCK_SECONDS + 1).alive()
    assert problem == "FlowRun data/x has been worked on for 301 s"


async def test_a_stuck_election_asks_for_a_restart() -> None:
    """A process that takes no part in it would never take over."""
    here = health(Liveness([]))
    here.election_silence = lambda: ELECTION_STUCK_SECONDS
    assert await here.alive() == []
    here.election_silence = lambda: ELECTION_STUCK_SECONDS + 1
    assert await here.alive() == ["the election has not taken a turn for 61 s"]


async def test_what_is_missing_makes_it_unready_and_not_dead() -> None:
    clock = Clock()
    waiting = health(Liveness(["/a"], clock))
    waiting.waiting_for = ["The CRDs are not installed: kubectl apply -f crds/"]
    clock.now += SILENCE_SECONDS + 1
    assert waiting.ready() == ["The CRDs are not installed: kubectl apply -f crds/"]
    assert await waiting.alive() == []


async def test_a_list_that_is_known_is_not_read() -> None:
    """The watch begins where that was read; an error, and the next list, are read as ever."""
    answers = [
        web.json_response({}, status=500),
        web.json_response({}),
        web.json_response({"a": 1}),
    ]

    async def answer(_: web.Request) -> web.Response:
        return answers.pop(0)

    responses = Liveness([]).response_class(listed={"/apis/x": 7})
    address, stop = await serve(answer)
    try:
        async with aiohttp.ClientSession(response_class=responses) as session:
            found = []
            for _ in range(3):
                async with session.get(f"{address}/apis/x?limit=500") as response:
                    found.append(await response.json())
    finally:
        await stop()
    assert found == [{}, {"metadata": {"resourceVersion": "7"}, "items": []}, {"a": 1}]


async def test_a_watch_shows_life_when_it_opens_and_with_every_byte() -> None:
    """Seen on the connection: kopf keeps bookmarks to itself."""
    go = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await go.wait()
        await response.write(b'{"type": "BOOKMARK"}\n')
        return response

    clock = Clock()
    liveness = Liveness(["/apis/x"], clock)
    address, stop = await serve(stream)
    try:
        async with (
            aiohttp.ClientSession(response_class=liveness.response_class()) as session,
            session.get(f"{address}/apis/x?watch=true") as response,
        ):
            assert liveness.unopened() == []
            clock.now += SILENCE_SECONDS + 1
            assert liveness.silent() == ["/apis/x"]
            go.set()
            assert [chunk async for chunk in response.content.iter_chunked(100)]
            assert liveness.silent() == []
        liveness.restart()
        async with (
            aiohttp.ClientSession(response_class=liveness.response_class()) as session,
            session.get(f"{address}/apis/x") as response,
        ):
            assert await response.read()
        assert liveness.unopened() == ["/apis/x"], "a list is no watch"
    finally:
        await stop()
