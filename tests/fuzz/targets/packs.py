"""Packs as graphs of objects that refer to each other: a change anywhere keeps all names right.

A pack is read into nodes whose links are numbers, changed there, and written again: names, sizes,
compression and checksum follow, but where a lie is wanted.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass, field
from random import Random

from tests.fuzz import reference
from tests.fuzz.targets.delta import copy, number

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
Link = int | bytes
"""The number of a node, or the name of something that is not in the pack."""


@dataclass
class Node:
    """One object, and how it is written."""

    kind: int
    data: bytes = b""
    entries: list[tuple[int, bytes, Link]] = field(default_factory=list)
    link: Link = b""
    rest: bytes = b""
    base: int | None = None
    by_name: bool = False
    delta: bytes | None = None
    extra: int = 0
    """How much more a delta announces than it gives."""
    lie: int | None = None
    deflated: bytes | None = None


@dataclass
class Graph:
    """All objects of a pack in their order, and which one is wanted."""

    nodes: list[Node]
    wanted: Link
    size: int = 20
    count: int | None = None
    version: int = 2
    tail: bytes = b""

    def pack(self, rng: Random) -> tuple[bytes, bytes]:
        """The wanted name, and the pack."""
        contents = self._contents()
        names = [
            reference.name(node.kind, data, self.size)
            for node, data in zip(self.nodes, contents, strict=True)
        ]
        out = bytearray(b"PACK" + self.version.to_bytes(4, "big"))
        count = len(self.nodes) if self.count is None else self.count
        out += (count & 0xFFFFFFFF).to_bytes(4, "big")
        offsets: list[int] = []
        for node, data in zip(self.nodes, contents, strict=True):
            offsets.append(len(out))
            body, kind, base = data, node.kind, b""
            if node.base is not None and node.base < len(self.nodes):
                body = node.delta
                if body is None:
                    body = delta_of(contents[node.base], data, node.extra)
                if node.by_name or node.base >= len(offsets) - 1:
                    kind, base = reference.REF, names[node.base]
                else:
                    kind, base = reference.OFS, _distance(offsets[-1] - offsets[node.base])
            out += _head(kind, len(body) if node.lie is None else node.lie) + base
            level = rng.choice((0, 1, 6, 9))
            out += zlib.compress(body, level) if node.deflated is None else node.deflated
        digest = hashlib.sha1 if self.size == 20 else hashlib.sha256
        raw = bytes(out) + digest(out).digest() + self.tail
        wanted = self.wanted
        return names[wanted % len(names)] if isinstance(wanted, int) and names else _fit(
            wanted, self.size
        ), raw

    def parts(self, rng: Random) -> tuple[bytes, bytes]:
        """Two packs: what leads to the files, and the files."""
        plain = [
            Node(node.kind, data) for node, data in zip(self.nodes, self._contents(), strict=True)
        ]
        leading = [node for node in plain if node.kind != BLOB]
        files = [node for node in plain if node.kind == BLOB]
        first, second = (Graph(nodes, b"", self.size).pack(rng)[1] for nodes in (leading, files))
        return first, second

    def _contents(self) -> list[bytes]:
        """What every object holds, with the names of those that it leads to."""
        done: dict[int, bytes] = {}
        active: set[int] = set()

        def named(link: Link) -> bytes:
            if isinstance(link, bytes) or not self.nodes:
                return _fit(link, self.size)
            link %= len(self.nodes)
            if link in active:
                return bytes(self.size)
            return reference.name(self.nodes[link].kind, content(link), self.size)

        def content(at: int) -> bytes:
            if at not in done:
                active.add(at)
                done[at] = _content(self.nodes[at], named)
                active.discard(at)
            return done[at]

        return [content(at) for at in range(len(self.nodes))]


def _content(node: Node, named: object) -> bytes:
    if node.kind == TREE and not node.data:
        return b"".join(
            b"%o %s\0%s" % (mode, name, named(link))  # type: ignore[operator]
            for mode, name, link in node.entries
        )
    if node.kind in (COMMIT, TAG) and not node.data:
        word = b"tree" if node.kind == COMMIT else b"object"
        return b"%s %s\n%s" % (word, named(node.link).hex().encode(), node.rest)  # type: ignore[operator]
    return node.data


def _fit(link: Link, size: int) -> bytes:
    return (link if isinstance(link, bytes) else b"")[:size].ljust(size, b"\1")


def _head(kind: int, size: int) -> bytes:
    out = bytearray()
    byte, size = (kind << 4) | (size & 15), size >> 4
    while size:
        out.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    out.append(byte)
    return bytes(out)


def _distance(value: int) -> bytes:
    out = [value & 0x7F]
    value >>= 7
    while value:
        value -= 1
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    return bytes(reversed(out))


def delta_of(base: bytes, result: bytes, extra: int = 0) -> bytes:
    same = 0
    while same < min(len(base), len(result)) and base[same] == result[same]:
        same += 1
    out = number(len(base)) + number(max(0, len(result) + extra))
    out += b"".join(copy(at, min(0xFFFF, same - at)) for at in range(0, same, 0xFFFF))
    for at in range(same, len(result), 127):
        piece = result[at : at + 127]
        out += bytes([len(piece)]) + piece
    return out


def graph_of(raw: bytes, wanted: bytes) -> Graph:
    """Read a pack.

    Raises:
        reference.Unreadable: It cannot be read; a wrong checksum alone does not matter.
    """
    size = len(wanted)
    if len(raw) > 12 + size:
        digest = hashlib.sha1 if size == 20 else hashlib.sha256
        raw = raw[:-size] + digest(raw[:-size]).digest()
    found = reference.entries(raw, size)
    objects = reference.resolved(found, size)
    if not found or len(found) > 64:
        raise reference.Unreadable("nothing to change, or too much")
    by_offset = {entry.offset: number for number, entry in enumerate(found)}
    names = [reference.name(*each, size) if each else b"" for each in objects]
    by_name = {name: number for number, name in enumerate(names) if name}
    nodes = []
    for entry, each in zip(found, objects, strict=True):
        if each is None:
            nodes.append(Node(BLOB, entry.data))
            continue
        node = _node(*each, by_name, size)
        if entry.base is not None:
            ofs = isinstance(entry.base, int)
            node.base = (by_offset if ofs else by_name)[entry.base]  # type: ignore[index]
            node.by_name = not ofs
        nodes.append(node)
    return Graph(nodes, by_name.get(wanted, wanted), size)


def _node(kind: int, data: bytes, by_name: dict[bytes, int], size: int) -> Node:
    if kind == TREE:
        try:
            entries = [(m, n, by_name.get(t, t)) for m, n, t in reference.tree(data, size)]
        except reference.Unreadable:
            return Node(kind, data)
        if entries:
            return Node(kind, entries=entries)
    if kind in (COMMIT, TAG) and (match := re.match(rb"(tree|object) ([0-9a-f]*)\n", data)):
        target = reference.linked(kind, data)
        if target is not None and (match[1] == b"tree") == (kind == COMMIT):
            return Node(kind, link=by_name.get(target, target), rest=data[match.end() :])
    return Node(kind, data)
