"""The API server as the test itself uses it: not through a proxy, and undeterred by restarts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from flow_operator.shell.connection import Connection

Object = dict[str, Any]

_MERGE = "application/merge-patch+json"
_PAUSE = 0.2
_PATIENCE = 180.0
_LONGEST_LINE = 4 * 1024**2


@dataclass(frozen=True)
class Changed:
    """One change of an object, in the order in which etcd has them."""

    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object


class Api:
    """Makes requests until they are answered, whatever happens to the API server meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._session = connection.session()

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Object:
        return (await self.send("GET", path, query=query))[1]

    async def send(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: dict[str, str] | None = None,
    ) -> tuple[int, Object]:
        """Return status and body of the answer; only those of 429 and 5xx are not answers.

        Raises:
            TimeoutError: There was none for minutes.
        """
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                async with self._session.request(
                    method,
                    self.connection.server + path,
                    json=body,
                    params=query,
                    headers={"Content-Type": _MERGE} if method == "PATCH" else None,
                    timeout=aiohttp.ClientTimeout(total=20),
                ) as response:
                    content = await response.read()
                    if response.status != 429 and response.status < 500:
                        return response.status, json.loads(content)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                pass
            await asyncio.sleep(_PAUSE)
        raise TimeoutError(f"{method} {path}: the API server did not answer for {_PATIENCE:.0f} s")

    async def follow(self, path: str, **query: str) -> AsyncIterator[list[Object] | Changed]:
        """Yield what there is, then every change; and again when changes may have been lost."""
        while True:
            listed = await self.get(path, **query)
            yield listed["items"]
            version = [listed["metadata"]["resourceVersion"]]
            async for change in self._watch(path, query, version):
                yield change

    async def _watch(
        self, path: str, query: dict[str, str], version: list[str]
    ) -> AsyncIterator[Changed]:
        """Yield changes, over as many connections as it takes, until some may have been lost."""
        while True:
            try:
                async with self._session.get(
                    self.connection.server + path,
                    params={
                        **query,
                        "watch": "true",
                        "allowWatchBookmarks": "true",
                        "resourceVersion": version[0],
                    },
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=90),
                    read_bufsize=_LONGEST_LINE,
                ) as response:
                    if response.status == 410:
                        return
                    response.raise_for_status()
                    async for line in response.content:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            return
                        version[0] = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            yield Changed(event["type"], event["object"])
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                await asyncio.sleep(_PAUSE)
