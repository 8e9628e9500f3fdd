"""Repositories small enough to read, and changes of them that keep the rest of the pack valid."""

from __future__ import annotations

import zlib
from dataclasses import replace
from random import Random

from tests.fuzz.mutation import NASTY, NUMBERS, Change, some
from tests.fuzz.targets.delta import copy, number
from tests.fuzz.targets.packs import BLOB, COMMIT, TAG, TREE, Graph, Link, Node, delta_of

_MODES = [0o100644, 0o100755, 0o120000, 0o040000, 0o160000, 0o100600, 0o100664, 0o104755]
_MODES += [0, 0o644, 0o060000, 0o010000, 0o140000, 0o777777, 0o40755]


def honest(rng: Random, size: int) -> Graph:
    """A small repository as git would send it, with deltas."""
    nodes: list[Node] = []
    for number_ in range(rng.randint(1, 5)):
        nodes.append(Node(BLOB, b"line %d\n" % number_ * rng.randint(1, 60)))
        if number_ and rng.random() < 0.5:
            nodes[-1].base, nodes[-1].by_name = rng.randrange(number_), rng.random() < 0.5
    blobs = len(nodes)
    nodes.append(Node(BLOB, b"f0"))
    files = [(rng.choice((0o100644, 0o100755)), b"f%d" % n, n) for n in range(blobs)]
    inner = Node(TREE, entries=[*files, (0o120000, b"link", blobs)])
    nodes.append(inner)
    entries: list[tuple[int, bytes, Link]] = [(0o040000, b"dir", len(nodes) - 1), *files[:2]]
    if rng.random() < 0.3:
        entries.append((0o160000, b"module", b"\2" * size))
    nodes.append(Node(TREE, entries=entries))
    nodes.append(Node(COMMIT, link=len(nodes) - 1, rest=b"author a <a> 0 +0000\n\nx\n"))
    if rng.random() < 0.3:
        nodes.append(Node(TAG, link=len(nodes) - 1, rest=b"type commit\ntag x\n"))
    graph = Graph(nodes, len(nodes) - 1, size)
    return _reordered(graph, rng) if rng.random() < 0.6 else graph


def deeper(graph: Graph) -> Graph:
    """The same with `dir` one level further down, in another `dir`."""
    nodes = [replace(node, entries=list(node.entries)) for node in graph.nodes]
    for node in graph.nodes:
        for at, (mode, name, link) in enumerate(node.entries):
            if name == b"dir":
                nodes.append(Node(TREE, entries=[(mode, name, link), *node.entries[:at]]))
                nodes[graph.nodes.index(node)].entries[at] = (mode, name, len(nodes) - 1)
    return replace(graph, nodes=nodes)


def mutated(graph: Graph, rng: Random, change: Change) -> Graph:
    """The graph with a few changes."""
    graph = replace(graph, nodes=[replace(n, entries=list(n.entries)) for n in graph.nodes])
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        if not graph.nodes:
            return honest(rng, graph.size)
        if len(graph.nodes) > 48:
            graph.nodes.pop()
        rng.choices([_tree, _blob, _coding, _nodes, _frame, _links], weights=[6, 3, 4, 3, 1, 2])[0](
            graph, rng, change
        )
        if rng.random() < 0.1:
            graph = _reordered(graph, rng)
    return graph


def _any(graph: Graph, rng: Random, kind: int) -> Node:
    return rng.choice([n for n in graph.nodes if n.kind == kind] or graph.nodes)


def _tree(graph: Graph, rng: Random, change: Change) -> None:
    node = _any(graph, rng, TREE)
    if not node.entries:
        node.entries = [(rng.choice(_MODES[:5]), b"n", rng.randrange(len(graph.nodes)))]
        return
    at = rng.randrange(len(node.entries))
    mode, name, link = node.entries[at]
    what = rng.randrange(8)
    if what == 0:
        name = rng.choice(NASTY)
    elif what == 1:
        name = change(name, 300)
    elif what == 2:
        mode = rng.choice(_MODES)
    elif what == 3:
        link = rng.randrange(len(graph.nodes))
    elif what == 4:
        node.entries.insert(at, (mode, rng.choice((name, b"n%d" % rng.randrange(9))), link))
        return
    elif what == 5:
        del node.entries[at]
        return
    elif what == 6:
        graph.nodes.append(Node(BLOB, rng.choice(NASTY)))
        mode, link = 0o120000, len(graph.nodes) - 1
    else:
        graph.nodes.append(Node(TREE, entries=[(mode, rng.choice((name, b"x")), link)]))
        mode, link = 0o040000, len(graph.nodes) - 1
    node.entries[at] = (mode, name, link)


def _blob(graph: Graph, rng: Random, change: Change) -> None:
    node = _any(graph, rng, BLOB)
    node.data = some(rng, node.data, change)


def _coding(graph: Graph, rng: Random, change: Change) -> None:
    node = rng.choice(graph.nodes)
    what = rng.randrange(9)
    if what == 7:
        node.extra = rng.choice((-1, 1, 100, 1 << 40))
    if what <= 2 or (what in (4, 7) and node.base is None):
        # What a delta gives is of its base's kind.
        same = [at for at, each in enumerate(graph.nodes) if each.kind == node.kind]
        node.base = rng.choice(same) if rng.random() < 0.8 else rng.randrange(len(graph.nodes))
        node.by_name = rng.random() < 0.5
    elif what == 3:
        node.base = node.delta = None
    elif what == 4:
        node.delta = change(delta_of(node.data, node.data + b"x"), 512)
    elif what == 5:
        node.lie = rng.choice((*NUMBERS, len(node.data) + 1, max(0, len(node.data) - 1)))
    elif what == 8:
        # A few bytes that ask for many.
        at = rng.randrange(len(graph.nodes))
        base = graph.nodes[at]
        if base.kind == BLOB and base.data:
            size = len(base.data)
            times = min(rng.choice((3, 100, 2000)), (400 << 10) // size)
            node.kind, node.data, node.base, node.by_name = BLOB, base.data * times, at, False
            node.delta = number(size) + number(size * times) + copy(0, size) * times
    elif what == 6:
        whole = zlib.compress(node.data)
        node.deflated = rng.choice((whole[:-1], whole[: len(whole) // 2], change(whole, 512), b""))


def _nodes(graph: Graph, rng: Random, change: Change) -> None:
    what = rng.randrange(5)
    if what == 0:
        graph.nodes.append(replace(rng.choice(graph.nodes)))
    elif what == 1:
        graph.nodes.pop(rng.randrange(len(graph.nodes)))
    elif what == 2:
        graph.nodes.append(Node(BLOB, rng.randbytes(rng.choice((0, 47, 48, 49, 200, 2000)))))
    elif what == 3:
        rng.choice(graph.nodes).kind = rng.choice((COMMIT, TREE, BLOB, TAG))
    else:
        node = rng.choice(graph.nodes)
        if node.kind != BLOB:
            node.data = change(node.data or node.rest or b"tree ", 512)


def _frame(graph: Graph, rng: Random, change: Change) -> None:
    what = rng.randrange(3)
    if what == 0:
        graph.count = rng.choice((0, len(graph.nodes) + 1, max(0, len(graph.nodes) - 1), 1 << 31))
    elif what == 1:
        graph.version = rng.choice((2, 3, 3, 4, 0))
    else:
        graph.tail = rng.choice((b"", b"\0", b"0000"))


def _links(graph: Graph, rng: Random, change: Change) -> None:
    node = rng.choice([n for n in graph.nodes if n.kind in (COMMIT, TAG)] or graph.nodes)
    if rng.random() < 0.5:
        graph.wanted = rng.randrange(len(graph.nodes))
    elif rng.random() < 0.5:
        node.link = rng.randrange(len(graph.nodes))
    else:
        graph.nodes.append(
            Node(rng.choice((COMMIT, TAG)), link=rng.randrange(len(graph.nodes)), rest=node.rest)
        )
        graph.wanted = len(graph.nodes) - 1


def _reordered(graph: Graph, rng: Random) -> Graph:
    order = list(range(len(graph.nodes)))
    if rng.random() < 0.5:
        rng.shuffle(order)
    else:
        order.reverse()
    place = {old: new for new, old in enumerate(order)}

    def moved(link: Link) -> Link:
        return place[link % len(order)] if isinstance(link, int) else link

    nodes = [
        replace(
            node,
            entries=[(mode, name, moved(link)) for mode, name, link in node.entries],
            link=moved(node.link),
            base=None if node.base is None else place[node.base % len(order)],
        )
        for node in (graph.nodes[old] for old in order)
    ]
    return replace(graph, nodes=nodes, wanted=moved(graph.wanted))
