"""A proxy before the API server that meddles with what one operator asks and is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from flow_operator.core import names
from flow_operator.shell.cluster import FLOW_RUNS, JOBS
from tests.e2e.chaos.faults import Kind
from tests.e2e.proxy import QUESTIONS, WRITES, Forwarder, answer, goes_on, is_watch

_LEASES = "/apis/coordination.k8s.io/"
_HALF_A_LINE = b'{"type":"MODIFIED","object":{"apiVersion":"'
_KINDS = (FLOW_RUNS, JOBS)

Only = Callable[[str, str, bytes], bool]
"""Tells by method, path and body whether a fault is for a request."""


def any_request(method: str, path: str, body: bytes) -> bool:
    """Have faults strike what they can strike at all."""
    return True


@dataclass
class _Armed:
    kind: Kind
    count: int
    seconds: float
    only: Only
    until: float = float("inf")


@dataclass(frozen=True)
class Hit:
    """A request that was meddled with: when, how, and by what name it was about what."""

    time: float
    kind: Kind
    method: str
    path: str
    name: str


@dataclass
class Meddler(Forwarder):
    """The way of one operator to the API server.

    Args:
        seed: What the details of faults are drawn from.
        slow: How many seconds a slow request takes, from and to.
        lag: How many seconds watches say nothing after a write whose answer is lost.
    """

    seed: int = 0
    slow: tuple[float, float] = (0.3, 2.5)
    lag: float = 0.0
    hits: list[Hit] = field(default_factory=list)
    struck: Counter[Kind] = field(default_factory=Counter)
    created: defaultdict[tuple[str, str], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )
    """The UIDs of what was created, by kind and purpose, whoever was told."""
    renewed: float = 0.0
    """When its operator last wrote a Lease."""
    _armed: list[_Armed] = field(default_factory=list)
    _streams: set[_Stream] = field(default_factory=set)
    _hushed: float = 0.0

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def arm(
        self,
        kind: Kind,
        *,
        count: int = 1,
        seconds: float = float("inf"),
        only: Only = any_request,
    ) -> None:
        """Meddle with the next requests that a kind of fault is for.

        Args:
            kind: The fault.
            count: With how many; all, if they are made slow.
            seconds: For how long from the first of them on.
            only: Which of them.
        """
        self._armed.append(_Armed(kind, count, seconds, only))

    def disarm(self) -> None:
        """Meddle no more; streams that are silent stay so until the operator gives them up."""
        self._armed.clear()

    def cut(self) -> int:
        """Cut all watches in the middle of a line; return how many there were."""
        streams = list(self._streams)
        for stream in streams:
            stream.cut = True
            if stream.client is not None:
                with contextlib.suppress(RuntimeError):
                    stream.client.write(b"%x\r\n%s\r\n" % (len(_HALF_A_LINE), _HALF_A_LINE))
                stream.client.close()
            self.struck[Kind.DROP] += 1
        return len(streams)

    def silence(self) -> int:
        """Have all watches go on without a word; return how many there are."""
        for stream in self._streams:
            stream.silent = True
            self.struck[Kind.SILENCE] += 1
        return len(self._streams)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path, body = request.rel_url.path, await request.read()
        kind = self._meddle(request, path, body)
        match kind:
            case Kind.LOSE:
                self._hushed = time.monotonic() + self.lag
            case Kind.SLOW:
                await asyncio.sleep(self._dice.uniform(*self.slow))
            case Kind.TOO_MANY:
                return _refusal(429, "TooManyRequests", {"Retry-After": "1"})
            case Kind.CONFLICT:
                return _refusal(409, "Conflict")
            case Kind.REFUSE:
                return _refusal(self._dice.choice((500, 502, 503, 504)), "InternalError")
            case Kind.GONE:
                return _gone(in_the_stream=self._dice.random() < 0.7)
        try:
            async with self.forward(request, body) as upstream:
                if is_watch(request):
                    return await self._stream(request, upstream)
                content = await upstream.read()
        except (aiohttp.ClientError, OSError):
            return _cut(request)
        self._take_note(request, path, upstream.status, content)
        if kind is Kind.LOSE:
            if self._dice.random() < 0.5:
                return _cut(request)
            return _refusal(self._dice.choice((500, 502, 504)), "InternalError")
        return answer(upstream, content)

    def _meddle(self, request: web.Request, path: str, body: bytes) -> Kind | None:
        """Return what is to happen to a request, if something is."""
        now = time.monotonic()
        self._armed = [armed for armed in self._armed if armed.count and armed.until > now]
        for armed in self._armed:
            if _is_for(armed.kind, request, path) and armed.only(request.method, path, body):
                if armed.kind is not Kind.SLOW:
                    armed.count -= 1
                armed.until = min(armed.until, now + armed.seconds)
                self.struck[armed.kind] += 1
                name = _name(path, body)
                self.hits.append(Hit(time.time(), armed.kind, request.method, path, name))
                return armed.kind
        return None

    def _take_note(self, request: web.Request, path: str, status: int, content: bytes) -> None:
        if request.method not in WRITES or status not in (200, 201):
            return
        if path.startswith(_LEASES):
            self.renewed = time.monotonic()
        elif request.method == "POST" and path.endswith(tuple(kind.plural for kind in _KINDS)):
            made = json.loads(content)
            self.created[made["kind"], purpose_of(made)].add(made["metadata"]["uid"])

    async def _stream(
        self, request: web.Request, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=upstream.status)
        response.content_type = upstream.content_type
        response.enable_chunked_encoding()
        await response.prepare(request)
        stream = _Stream(request.transport)
        if upstream.status == 200:
            self._streams.add(stream)
            if goes_on(request):
                self.watches.add(request.rel_url.path)
        try:
            async for chunk in upstream.content.iter_any():
                await asyncio.sleep(max(self._hushed - time.monotonic(), 0.0))
                if stream.cut:
                    break
                if not stream.silent:
                    await response.write(chunk)
        except (ConnectionError, aiohttp.ClientError):
            stream.cut = True
        finally:
            self._streams.discard(stream)
        return _cut(request) if stream.cut else response


@dataclass(eq=False)
class _Stream:
    client: Any
    silent: bool = False
    cut: bool = False


def _is_for(kind: Kind, request: web.Request, path: str) -> bool:
    if path.startswith(QUESTIONS):
        return False
    if kind is Kind.GONE:
        return is_watch(request)
    if kind in (Kind.CONFLICT, Kind.REFUSE, Kind.LOSE):
        return request.method in WRITES
    return not is_watch(request)


def _name(path: str, body: bytes) -> str:
    """Return the name of what a request is about; empty for lists."""
    parts = path.removesuffix("/status").split("/")
    if "namespaces" in parts and len(parts) > parts.index("namespaces") + 3:
        return parts[-1]
    try:
        return str(json.loads(body)["metadata"]["name"]) if body else ""
    except (ValueError, KeyError):
        return ""


def purpose_of(made: dict[str, Any]) -> str:
    """Return what there may be one of only: a FlowRun by its name, a Job by owner and attempt."""
    meta = made["metadata"]
    attempt = (meta.get("labels") or {}).get(names.LABEL_ATTEMPT)
    return f"{meta['ownerReferences'][0]['uid']}/{attempt}" if attempt else str(meta["name"])


def _refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": status,
        "reason": reason,
        "message": f"chaos: {status} {reason}",
    }
    return web.json_response(body, status=status, headers=headers)


def _gone(*, in_the_stream: bool) -> web.Response:
    status = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": 410,
        "reason": "Expired",
        "message": "too old resource version: 1 (2)",
    }
    if in_the_stream:
        line = json.dumps({"type": "ERROR", "object": status}) + "\n"
        return web.Response(text=line, content_type="application/json")
    return web.json_response(status, status=410)


def _cut(request: web.Request) -> web.Response:
    """End a connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
