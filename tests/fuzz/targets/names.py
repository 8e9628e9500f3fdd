"""Paths and links straight to the safe writer: lines of an operation and a path."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from flow_fetcher.errors import FetchError
from flow_fetcher.tree import Limits, TreeWriter
from tests.fuzz.mutation import NASTY, Change
from tests.fuzz.oracle import Violation, judge_error, listed, room
from tests.fuzz.targets import Target

_LIMITS = Limits(entries=200, size=1 << 20, depth=40)
_END = b"\0\0\0"
_OPERATIONS = b"wxldcp"


def run(data: bytes) -> bool:
    """Carry out the operations; each that is refused is left out, as if it had not been there."""
    expected: dict[bytes, tuple[str, bytes]] = {}
    refused = False
    with room() as place:
        with TreeWriter(place.root, _LIMITS) as tree:
            for line in data.split(_END)[:64]:
                path, _, rest = line[1:].partition(b"\0\1")
                try:
                    _operate(tree, line[:1], path, rest, expected)
                except FetchError as error:
                    judge_error(error)
                    refused = True
                except (FileNotFoundError, IsADirectoryError):
                    # A copy of what is no file: the caller's mistake, and nothing is written.
                    refused = True
            try:
                tree.finish()
            except FetchError as error:
                judge_error(error)
                listed(place.root, refused=True)
                return False
        found = listed(place.root)
        for path, what in expected.items():
            if found.get(path) != what:
                raise Violation(f"{path!r} is {found.get(path)!r} and not {what!r}")
    return not refused


def _operate(
    tree: TreeWriter,
    operation: bytes,
    path: bytes,
    rest: bytes,
    expected: dict[bytes, tuple[str, bytes]],
) -> None:
    if operation in (b"w", b"x"):
        tree.write(path, rest, executable=operation == b"x")
        expected[path] = ("executable" if operation == b"x" else "file", rest)
    elif operation == b"l":
        tree.symlink(path, rest)
        expected[path] = ("link", rest)
    elif operation == b"d":
        tree.directory(path)
    elif operation == b"c" and rest in expected and expected[rest][0] != "link":
        tree.copy(rest, path)
        expected[path] = ("file", expected[rest][1])
    elif operation == b"p":
        with tree.create(path) as sink:
            half = len(rest) // 2
            sink.write_at(rest[half:], half)
            sink.write_at(rest[:half], 0)
        expected[path] = ("file", rest)


def _line(rng: Random) -> bytes:
    operation = bytes([rng.choice(_OPERATIONS)])
    parts = [rng.choice(NASTY) if rng.random() < 0.5 else b"abc"[rng.randrange(3) :][:1]]
    parts += [b"abcd"[rng.randrange(4) :][:1] for _ in range(rng.randrange(4))]
    rng.shuffle(parts)
    rest = (
        rng.choice(NASTY)
        if rng.random() < 0.3
        else b"../" * rng.randrange(4) + rng.choice((b"a", b"b", b"a/b", b"c/d/..", b".", b""))
    )
    return operation + b"/".join(parts) + b"\0\1" + rest


def mutate(data: bytes, rng: Random, change: Change) -> bytes:
    lines = data.split(_END)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        what = rng.randrange(5)
        if what <= 1:
            lines.insert(at, _line(rng))
        elif what == 2 and len(lines) > 1:
            del lines[at]
        elif what == 3:
            lines[at] = change(lines[at], 4500)
        else:
            lines.insert(at, rng.choice(lines))
    return _END.join(lines[:64])


def seeds() -> Iterator[tuple[str, bytes]]:
    yield (
        "honest",
        _END.join(
            [b"wa/b\0\1one", b"xa/c\0\1two", b"la/l\0\1../a/b", b"dd", b"ce\0\1a/b", b"pf\0\1parts"]
        ),
    )
    yield "links", _END.join([b"la\0\1b", b"lb\0\1c/d", b"lc\0\1.", b"ld\0\1a/../..", b"we/x\0\1"])
    for number, piece in enumerate(NASTY[:8]):
        yield f"nasty-{number}", b"w" + piece + b"\0\1x" + _END + b"la/l\0\1" + piece


def target(name: str) -> Target:
    del name
    return Target(run, mutate, seeds)
