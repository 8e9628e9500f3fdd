"""What a git server says: flags, a commit's name, then raw HTTP answers, one for each request.

The whole source runs, but for the socket: HTTP, redirects, packets, references, the side band, and
the pack within it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import FetchError
from flow_fetcher.log import Log, Progress, Report
from flow_fetcher.plan import Plan, parse_plan
from flow_fetcher.redact import Redactor
from flow_fetcher.sources import Fetch, open_source
from flow_fetcher.sources.git import http as transport
from flow_fetcher.sources.git import wire
from flow_fetcher.sources.git.pack import PackReader
from flow_fetcher.tree import TreeWriter
from tests.fuzz.mutation import Change
from tests.fuzz.oracle import Violation, judge_error, listed, room
from tests.fuzz.targets import Target, pack
from tests.fuzz.targets.answers import (
    COMMIT,
    DEEP,
    SECRET,
    SPARSE,
    SPLIT,
    TAG,
    conversations,
    mutated,
    sparse,
)
from tests.fuzz.targets.pack import SHA256
from tests.fuzz.targets.packchanges import deeper, honest

_HOST = "git.example.com"
_URL = f"https://{_HOST}/acme/flows.git"
_MOST_REQUESTS = 40
_REQUEST = re.compile(
    rb"(GET|POST) /[\x21-\x7e\x80-\xff]* HTTP/1\.1\r\n(?:[\w-]+: [^\r\n\0]*\r\n)+\r\n"
)


class _Socket:
    """Answers each request with the next of the given answers; then the server is gone."""

    def __init__(self, server: transport.Server, answers: Iterator[bytes], piece: int) -> None:
        self._server = server
        self._answers = answers
        self._piece = piece
        self._waiting = b""

    def sendall(self, data: bytes) -> None:
        url = urlsplit(self._server.url)
        if b"\r\nAuthorization:" in data and (url.scheme, url.netloc) != ("https", _HOST):
            raise Violation(f"credentials go to {self._server.url}")
        if not _REQUEST.match(data):
            raise Violation(f"sends what is no request: {data[:200]!r}")
        answer = next(self._answers, None)
        if answer is None:
            raise ConnectionResetError
        self._waiting += answer

    def recv(self, most: int) -> bytes:
        most = min(most, self._piece)
        data, self._waiting = self._waiting[:most], self._waiting[most:]
        return data

    def setsockopt(self, *_: object) -> None:
        pass

    def settimeout(self, *_: object) -> None:
        pass

    def close(self) -> None:
        self._waiting = b""


def run(data: bytes) -> bool:
    flags, wanted, raw = pack.split(data)
    answers = iter(raw.split(SPLIT)[:_MOST_REQUESTS])
    ref = {"tag": "v1"} if flags & TAG else {"branch": "main"}
    if flags & COMMIT:
        ref = {"commit": wanted.hex()}
    secret = {"secretName": "token"} if flags & SECRET else {}
    directories = wanted_directories(flags)
    git = {"url": _URL, "ref": ref, "sparseCheckout": [each.decode() for each in directories]}
    source = {"type": "git", "git": git}
    plan = parse_plan(json.dumps({"version": 1, "source": source, **secret}).encode())
    credentials = Credentials({"token": "s3cret"}, "token") if secret else Credentials({})

    def connect(self: transport.Server) -> wire.Connection:
        made = _Socket(self, answers, pack.CHUNKS[flags >> 3 & 3])
        with mock.patch.object(wire.socket, "create_connection", return_value=made):
            return wire.Connection(_HOST, 443, 1.0)

    with mock.patch.object(transport.Server, "_connect", connect):
        return fetched_as_said(plan, credentials, directories)


def wanted_directories(flags: int) -> tuple[bytes, ...]:
    """What the plan wants of the tree; empty for everything."""
    if not flags & SPARSE:
        return ()
    return (b"dir/dir",) if flags & DEEP else (b"dir",)


def fetched_as_said(plan: Plan, credentials: Credentials, directories: tuple[bytes, ...]) -> bool:
    """Fetch; the tree must be what the packs say that came on the way."""
    log = Log(Redactor(), stream=io.StringIO(), debug=True)
    received: list[list[bytes]] = []
    real = PackReader.__init__

    def observed(self: PackReader, chunks: Iterator[bytes], *others: Any) -> None:
        received.append([])
        real(self, _kept(chunks, received[-1]), *others)

    with room() as place, mock.patch.object(PackReader, "__init__", observed):
        try:
            with TreeWriter(place.root, pack.LIMITS) as tree:
                fetch = Fetch(credentials, tree, place.scratch, log, Report(), Progress(log))
                revision = open_source(plan).fetch(fetch)
                tree.finish()
        except FetchError as error:
            judge_error(error)
            listed(place.root, refused=True)
            return False
        packs = [b"".join(chunks) for chunks in received]
        pack.compare(listed(place.root), packs, _name(revision), directories=directories)
    return True


def _name(revision: str) -> bytes:
    try:
        name = bytes.fromhex(revision)
    except ValueError:
        name = b""
    if len(name) not in (20, 32):
        raise Violation(f"the revision is no name of a commit: {revision!r}")
    return name


def _kept(chunks: Iterator[bytes], received: list[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        received.append(chunk)
        yield chunk


def seeds() -> Iterator[tuple[str, bytes]]:
    for size in (20, 32):
        graph = deeper(honest(Random(5), size))
        name, raw = graph.pack(Random(5))
        some = sparse(raw, *graph.parts(Random(5)))
        for label, flags, answers in (*conversations(name, raw), *some):
            if size == 20 or label in ("v2-commit", "v2-late", "sparse"):
                more = SHA256 if size == 32 else 0
                yield f"{label}-{size}", bytes([flags | more]) + name + SPLIT.join(answers)


def mutate(data: bytes, rng: Random, change: Change) -> bytes:
    flags, wanted, raw = pack.split(data)
    answers = raw.split(SPLIT)
    if rng.random() < 0.05:
        flags ^= rng.choice((COMMIT, SECRET, TAG, SPARSE, DEEP))
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(answers))
        what = rng.randrange(12)
        if what == 0:
            answers.insert(at, rng.choice(answers))
        elif what == 1 and len(answers) > 1:
            del answers[at]
        elif what == 2:
            graph = honest(rng, len(wanted))
            _, new = graph.pack(rng)
            said = (*conversations(wanted, new), *sparse(new, *graph.parts(rng)))
            choices = [each for *_, list_ in said for each in list_]
            answers.insert(at, rng.choice(choices))
        else:
            answers[at] = mutated(answers[at], rng, change)
    return bytes([flags]) + wanted + SPLIT.join(answers[:_MOST_REQUESTS])


def target(name: str) -> Target:
    del name
    return Target(run, mutate, seeds, weight=4)
