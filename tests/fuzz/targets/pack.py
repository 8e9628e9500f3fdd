"""Packs: flags, the wanted name, the pack. What comes out must be what a second reader sees."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from unittest import mock

from flow_fetcher.errors import FetchError
from flow_fetcher.log import Log
from flow_fetcher.redact import Redactor
from flow_fetcher.sources.git import checkout as checkouts
from flow_fetcher.sources.git import objects, pack
from flow_fetcher.tree import Limits, TreeWriter
from tests.fuzz import reference
from tests.fuzz.mutation import Change
from tests.fuzz.oracle import Violation, judge_error, listed, room
from tests.fuzz.targets import Target
from tests.fuzz.targets.packchanges import honest, mutated
from tests.fuzz.targets.packs import Graph, graph_of

LIMITS = Limits(entries=400, size=8 << 20, depth=40)
ROOM = 1 << 18
CHUNKS = (1 << 16, 1000, 100, 7)
SMALL, SHA256 = 0x10, 0x20
"""Flags: thresholds so low that everything is staged and spilled; names of 32 bytes."""


Tree = dict[bytes, tuple[str, bytes]]


def split(data: bytes) -> tuple[int, bytes, bytes]:
    """Flags, wanted name, pack."""
    flags = data[0] if data else 0
    size = 32 if flags & SHA256 else 20
    return flags, data[1 : 1 + size].ljust(size, b"\0"), data[1 + size :]


def run(data: bytes) -> bool:
    flags, wanted, raw = split(data)
    chunk = CHUNKS[flags & 3]
    chunks = (raw[at : at + chunk] for at in range(0, len(raw), chunk))
    log = Log(Redactor(), stream=io.StringIO())
    with room(ROOM) as place, thresholds(bool(flags & SMALL)):
        try:
            with TreeWriter(place.root, LIMITS) as tree:
                scratch = pack.Scratch(place.scratch, ROOM)
                found = checkouts.Checkout(wanted.hex(), "commit x", tree, scratch, log).run(chunks)
                tree.finish()
        except FetchError as error:
            judge_error(error)
            listed(place.root, refused=True)
            return False
        compare(listed(place.root), [raw], wanted, found)
    return True


def compare(
    tree: Tree,
    packs: list[bytes],
    wanted: bytes,
    found: str | None = None,
    directories: tuple[bytes, ...] = (),
) -> None:
    """Compare a tree that was accepted with what the second reader makes of the same packs."""
    try:
        expected = reference.checkout(packs, wanted, directories)
    except reference.Unreadable as problem:
        raise Violation(f"accepts a pack that is not valid: {problem}") from problem
    if any(path.rpartition(b"/")[2] == b".gitattributes" for path in expected):
        # Line endings may have been converted, which the second reader does not do.
        tree, expected = _without_content(tree), _without_content(expected)
    if tree != expected:
        different = sorted(
            path for path in tree.keys() | expected.keys() if tree.get(path) != expected.get(path)
        )
        raise Violation(f"the tree differs from what the pack says at {different[:3]}")
    if found is not None and len(found) != 2 * len(wanted):
        raise Violation("the revision is no name of a commit")


def _without_content(tree: Tree) -> Tree:
    return {path: (kind, b"") for path, (kind, _) in tree.items()}


@contextmanager
def thresholds(small: bool) -> Iterator[None]:
    """With thresholds so low that small inputs reach what is meant for large ones."""
    if not small:
        yield
        return
    with (
        mock.patch.object(pack, "LARGE", 48),
        mock.patch.object(objects, "LARGE", 48),
        mock.patch.object(objects, "_HELD_IN_MEMORY", 64),
        mock.patch.object(objects, "_CACHED", 64),
        mock.patch.object(pack, "_PIECE", 16),
    ):
        yield


def mutate(data: bytes, rng: Random, change: Change) -> bytes:
    flags, wanted, raw = split(data)
    if rng.random() < 0.1:
        flags = rng.randrange(64)
        if (flags ^ data[0] if data else 0) & SHA256:
            flags ^= SHA256
    size = len(wanted)
    if rng.random() < 0.12:
        raw = change(raw, 1 << 14)
        if rng.random() < 0.7 and len(raw) > 12 + size:
            raw = reference_trailer(raw[:-size], size)
        return bytes([flags]) + wanted + raw
    try:
        graph = graph_of(raw, wanted)
    except (reference.Unreadable, RecursionError):
        graph = honest(rng, size)
    graph = mutated(graph, rng, change)
    wanted, raw = graph.pack(rng)
    if rng.random() < 0.03:
        at = len(raw) - rng.randint(1, size)
        raw = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
    return bytes([flags]) + wanted + raw


def reference_trailer(body: bytes, size: int) -> bytes:
    """A pack's body with a checksum that is right."""
    import hashlib

    return body + (hashlib.sha1 if size == 20 else hashlib.sha256)(body).digest()


def seeds() -> Iterator[tuple[str, bytes]]:
    for number in range(12):
        rng = Random(number)
        size = 32 if number % 4 == 3 else 20
        graph: Graph = honest(rng, size)
        wanted, raw = graph.pack(rng)
        flags = rng.randrange(32) | (SHA256 if size == 32 else 0)
        yield f"honest-{number}", bytes([flags]) + wanted + raw


def target(name: str) -> Target:
    del name
    return Target(run, mutate, seeds, weight=6)
