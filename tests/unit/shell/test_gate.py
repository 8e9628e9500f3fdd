"""Writes leave while they are allowed, and not a byte of them afterwards."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from kubernetes.aio.client.configuration import Configuration

from flow_operator.shell.cluster import FLOW_RUNS, JOBS, Cluster
from flow_operator.shell.connection import Connection
from flow_operator.shell.errors import NotLeaderError
from tests.unit.shell.conftest import Script

JOB = {"metadata": {"namespace": "data", "name": "x"}}
RUN = {"metadata": {"namespace": "data", "name": "r", "uid": "u", "resourceVersion": "7"}}


def answers(*said: bool) -> Callable[[], bool]:
    """The gate's answers, one after another; the last one is repeated."""
    left: Iterator[bool] = iter(said)
    return lambda: next(left, said[-1])


@asynccontextmanager
async def gated(connection: Connection, may_write: Callable[[], bool]) -> AsyncIterator[Cluster]:
    cluster = Cluster(connection, may_write)
    yield cluster
    await cluster.close()


async def test_no_write_leaves_while_the_gate_is_closed(
    connection: Connection, script: Script
) -> None:
    """Whatever the method is."""
    async with gated(connection, lambda: False) as cluster:
        for write in (
            cluster.create(JOBS, JOB),
            cluster.replace_status(FLOW_RUNS, RUN, {}),
            cluster.patch(JOBS, "data", "x", "u", {}),
            cluster.delete(JOBS, "data", "x", "u"),
        ):
            with pytest.raises(NotLeaderError):
                await write
    assert script.seen == []


async def test_reads_pass_a_closed_gate(connection: Connection, script: Script) -> None:
    """Who does not lead watches and reads all the same."""
    async with gated(connection, lambda: False) as cluster:
        await cluster.find(JOBS, "data", "x")
    assert len(script.seen) == 1


async def test_a_write_that_was_turned_away_is_not_sent_again_once_the_gate_is_closed(
    connection: Connection, script: Script
) -> None:
    """The server said 429; the gate closed during the wait."""
    script.answers = [(429, {}, {"Retry-After": "0"}), (201, {})]
    async with gated(connection, answers(True, True, False)) as cluster:
        with pytest.raises(NotLeaderError):
            await cluster.create(JOBS, JOB)
    assert len(script.seen) == 1


async def test_writes_go_on_when_the_gate_is_open_again(
    connection: Connection, script: Script
) -> None:
    """What was refused at the last moment leaves nothing behind on a connection that is reused."""
    async with gated(connection, answers(True, True, True, False, True)) as cluster:
        await cluster.create(JOBS, JOB)
        with pytest.raises(NotLeaderError):
            await cluster.create(JOBS, JOB)
        await cluster.create(JOBS, JOB)
    assert [seen.method for seen in script.seen] == ["POST", "POST"]


@pytest.mark.parametrize("size", [1, 1_000_000])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_not_a_byte_leaves_when_the_gate_closes_while_connecting(
    tmp_path: Path, tls: bool, size: int
) -> None:
    """A process that sleeps between its decision and the end of the handshake sends nothing."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    received, ended = bytearray(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read())
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context if tls else None)
    configuration = Configuration()
    port = server.sockets[0].getsockname()[1]
    configuration.host = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    configuration.ssl_ca_cert = str(tmp_path / "ca.crt")

    asked: list[bool] = []

    def gate() -> bool:
        """Open when first asked; closed from when the connection is there."""
        asked.append(len(asked) == 0)
        return asked[-1]

    async with gated(Connection(configuration), gate) as cluster:
        with pytest.raises(NotLeaderError):
            await cluster.create(JOBS, {**JOB, "filler": "x" * size})
        async with asyncio.timeout(5):
            await ended.wait()
    server.close()
    assert asked == [True, False]
    assert bytes(received) == b""
