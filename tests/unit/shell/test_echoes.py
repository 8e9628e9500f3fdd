"""What the watches tell of own writes is left out, whichever comes first: answer or echo."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from aiohttp import web

from flow_operator.shell import echoes as module
from flow_operator.shell.echoes import Echoes
from flow_operator.shell.liveness import Liveness
from tests.unit.shell.conftest import serve

PATH = "/apis/flow-operator.io/v1alpha1/flowruns"


def line(version: int, kind: str = "ADDED") -> bytes:
    """A line of a watch."""
    return b'{"type":"%s","object":{"metadata":{"resourceVersion":"%d"}}}' % (
        kind.encode(),
        version,
    )


def test_what_was_answered_is_no_news() -> None:
    """But that an object is gone is, and what others wrote."""
    echoes = Echoes()
    echoes.expect(7)
    assert not echoes.is_news(line(7))
    assert echoes.is_news(line(8))
    assert echoes.is_news(line(7, "DELETED"))
    assert echoes.is_news(b'{"type":"ERROR","object":{}}')


async def waited(echoes: Echoes, plural: str) -> float:
    """Wait for answers; how long that took, in seconds."""
    begun = time.monotonic()
    await echoes.answers(plural)
    return time.monotonic() - begun


async def test_answers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of that kind that are under way, for a moment; later ones are not."""
    monkeypatch.setattr(module, "_PATIENCE", 5.0)
    echoes = Echoes()
    assert await waited(echoes, "flowruns") < 0.05
    first = echoes.writing("flowruns")
    with first:
        assert await waited(echoes, "jobs") < 0.05
        waiting = asyncio.create_task(waited(echoes, "flowruns"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        later = echoes.writing("flowruns")
        later.__enter__()
    assert await waiting < 1.0
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    assert 0.05 <= await waited(echoes, "flowruns") < 1.0
    later.__exit__(None, None, None)
    assert await waited(echoes, "flowruns") < 0.05


async def test_an_echo_ahead_of_its_answer() -> None:
    """It is held until the answer is there, and left out; what is news comes through."""
    echoes, release = Echoes(), asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line(1) + b"\n" + line(2) + b"\n")
        await release.wait()
        await response.write(line(3) + b"\n")
        return response

    async def write(version: int) -> None:
        with echoes.writing("flowruns"):
            await asyncio.sleep(0.05)
            echoes.expect(version)

    address, stop = await serve(stream)
    try:
        responses = Liveness([PATH]).response_class(echoes)
        async with (
            aiohttp.ClientSession(response_class=responses) as session,
            session.get(f"{address}{PATH}?watch=true") as response,
        ):
            writing = asyncio.create_task(write(1))
            await asyncio.sleep(0)
            chunks = response.content.iter_chunked(1000)
            assert await anext(chunks) == line(2) + b"\n"
            await writing
            with pytest.raises(OSError, match="no answer"), echoes.writing("flowruns"):
                raise OSError("no answer")  # then its echo is how the write becomes known
            release.set()
            assert b"".join([chunk async for chunk in chunks]) == line(3) + b"\n"
    finally:
        await stop()
