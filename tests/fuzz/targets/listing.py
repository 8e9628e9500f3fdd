"""Listings and what lies behind them, of a store and a file system that lie as they like: JSON.

What is accepted must be what was listed, and have the digest of the contract. The store stands
where obstore does, the file system where fsspec's do; both may say whatever their types allow.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random
from typing import Any
from unittest import mock

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import FetchError
from flow_fetcher.log import Log, Progress, Report
from flow_fetcher.plan import parse_plan
from flow_fetcher.redact import Redactor
from flow_fetcher.sources import Fetch, Source, objects, open_source
from flow_fetcher.sources.fsspec import folder, options
from flow_fetcher.sources.s3 import S3Source
from flow_fetcher.tree import Limits, TreeWriter
from tests.fuzz.mutation import NASTY, NUMBERS, Change
from tests.fuzz.oracle import Violation, judge_error, listed, room
from tests.fuzz.targets import Target

_LIMITS = Limits(entries=200, size=1 << 20, depth=40)
_MOST = 24
_LARGE = 48
"""From which size on a file comes in ranges."""
_FIELDS = ("key", "size", "etag", "body", "found", "extra")
"""Of an object: as listed, then its content (null: there is none), and what its answer adds."""


class _Answer:
    """What `obstore` makes of an answer."""

    def __init__(self, body: bytes, meta: dict[str, Any]) -> None:
        self._body = body
        self.meta = meta

    def bytes(self) -> bytes:
        return self._body

    def stream(self, min_chunk_size: int) -> Iterator[bytes]:
        for at in range(0, len(self._body), min_chunk_size):
            yield self._body[at : at + min_chunk_size]


class _Store:
    """Lists what it likes, in pages of three."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._entries = entries

    def list(self, prefix: str | None, chunk_size: int) -> Iterator[list[dict[str, Any]]]:
        for at in range(0, len(self._entries), 3):
            yield [
                {"path": each["key"], "size": each["size"], "e_tag": each["etag"]}
                for each in self._entries[at : at + 3]
            ]

    def get(self, key: str, options: dict[str, Any]) -> _Answer:
        there = (e for e in self._entries if e["key"] == key and e["body"] is not None)
        if (entry := next(there, None)) is None:
            raise FileNotFoundError(f"<Code>NoSuchKey</Code>{key}")
        start, stop = options.get("range", (0, len(entry["body"])))
        meta = {"size": len(entry["body"]), "e_tag": entry["etag"], **entry["found"]}
        return _Answer(entry["body"][start:stop] + entry["extra"], meta)


class _FileSystem:
    """Likewise; what it tells of a file is anything that JSON can hold."""

    async_impl = False

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self.entries = {each["key"]: each for each in entries}

    def find(self, path: str, detail: bool) -> dict[str, dict[str, Any]]:
        return {
            f"bucket/{key}": {"size": each["size"], "ETag": each["etag"], **each["found"]}
            for key, each in self.entries.items()
        }

    def _body(self, name: str) -> bytes:
        entry = self.entries[name.removeprefix("bucket/")]
        if entry["body"] is None:
            raise FileNotFoundError(name)
        body: bytes = entry["body"] + entry["extra"]
        return body

    def cat_file(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        return self._body(name)[start:end]

    def open(self, name: str, mode: str) -> io.BytesIO:
        return io.BytesIO(self._body(name))

    def invalidate_cache(self) -> None:
        pass


def _entries(data: bytes) -> list[dict[str, Any]]:
    """The objects; what is no object is left out, and what has no type gets one."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        return []
    found = []
    for row in raw[:_MOST] if isinstance(raw, list) else []:
        each = dict(zip(_FIELDS, row if isinstance(row, list) else (), strict=False))
        # No text that reaches Python from a server has half a character.
        key = str(each.get("key", "")).encode("utf-8", "replace").decode()
        body, found_, extra = (each.get(name) for name in ("body", "found", "extra"))
        found.append(
            {
                "key": key,
                "size": each.get("size"),
                "etag": each.get("etag"),
                "body": None if body is None else str(body).encode("utf-8", "replace")[:4096],
                "found": found_ if isinstance(found_, dict) else {},
                "extra": extra.encode("utf-8", "replace") if isinstance(extra, str) else b"",
            }
        )
    return found


def _typed(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As obstore's types allow it: sizes are numbers that are not negative, ETags are texts."""
    for each in entries:
        for where, size, etag in ((each, "size", "etag"), (each["found"], "size", "e_tag")):
            if where is each or size in where:
                given = where.get(size)
                whole = isinstance(given, int) and 0 <= given < 1 << 64
                where[size] = int(given) if whole else len(each["body"] or b"")
            if where.get(etag) is not None:
                where[etag] = str(where[etag]).encode("utf-8", "replace").decode()
        each["found"] = {k: each["found"][k] for k in ("size", "e_tag") if k in each["found"]}
    return entries


def _run_store(data: bytes) -> bool:
    entries = _typed(_entries(data))
    source = {"type": "s3", "s3": {"bucket": "bucket", "prefix": "p"}}
    with mock.patch.object(S3Source, "open", return_value=_Store(entries)):
        return _fetch(source, entries, is_store=True)


def _run_files(data: bytes) -> bool:
    entries = _entries(data)
    source = {"type": "fsspec", "fsspec": {"url": "x://bucket/p"}}
    files = _FileSystem(entries)
    with mock.patch.object(options, "open_filesystem", return_value=(files, "bucket/p")):
        return _fetch(source, list(files.entries.values()), is_store=False)


def _fetch(source: dict[str, Any], entries: list[dict[str, Any]], *, is_store: bool) -> bool:
    plan = parse_plan(json.dumps({"version": 1, "source": source}).encode())
    opened: Source = open_source(plan)
    log = Log(Redactor(), stream=io.StringIO())
    with room() as place, ExitStack() as patched:
        for module, name, size in (
            (objects, "_PIECE", 8), (objects, "_RANGE", 16), (objects, "_LARGE", _LARGE),
            (folder, "_PIECE", 8), (folder, "_RANGE", _LARGE - 1),
        ):  # fmt: skip
            patched.enter_context(mock.patch.object(module, name, size))
        try:
            with TreeWriter(place.root, _LIMITS) as tree:
                fetch = Fetch(Credentials({}), tree, place.scratch, log, Report(), Progress(log))
                revision = opened.fetch(fetch)
                tree.finish()
        except FetchError as error:
            judge_error(error)
            listed(place.root, refused=True)
            return False
        found = {k: v for k, v in listed(place.root).items() if v[0] != "directory"}
        _compare(found, revision, entries, is_store)
    return True


def _compare(
    found: dict[bytes, tuple[str, bytes]],
    revision: str,
    entries: list[dict[str, Any]],
    is_store: bool,
) -> None:
    expected, lines, sure = {}, [], True
    for each in entries:
        path, body, size = each["key"][2:].encode(), each["body"], each["size"]
        if not is_store:
            size = each["found"].get("size", size)
        is_marker = not is_store and (
            path[-1:] in (b"", b"/") or each["found"].get("type") == "directory"
        )
        if (
            not each["key"].startswith("p/")
            or is_marker
            or (is_store and body is None and not size)
        ):
            continue
        if body is None or path in expected:
            raise Violation(f"accepts {path!r}, which is there twice or not at all")
        content = body + each["extra"]
        if isinstance(size, int) and len(content) > size >= _LARGE:
            # Of a range nobody can tell that it was not the last one.
            content = content[:size]
        expected[path] = ("file", content)
        etag = str(each["etag"] or "").strip('"').encode("utf-8", "replace")
        lines.append(b"%s\t%s\t%d\n" % (path, etag, len(content)))
        # Without an ETag a file system may have something else for it.
        sure = sure and (is_store or (isinstance(each["etag"], str) and not each["found"]))
        sure = sure and (is_store or etag != b"")
    if found != expected:
        different = [p for p in found.keys() | expected.keys() if found.get(p) != expected.get(p)]
        raise Violation(f"the tree differs from the listing at {different[:3]}")
    digest = hashlib.sha256(b"".join(sorted(lines))).hexdigest()
    if revision != f"sha256:{digest}" and sure:
        raise Violation("the revision is not the digest of the listing")


_ETAGS = ['"abc"', "abc", '""', "", None, 7, "\t", "\n", 'W/"x"', "\u00e9", ["x"], {"a": 1}, True]
_SIZES = [None, -1, 1.5, "7", True, [], *NUMBERS[:12], 1 << 63, 1 << 64]
_KEYS = ["type", "size", "e_tag", "ETag", "etag", "md5Hash", "mtime", "LastModified", "generation"]


def _key(rng: Random) -> str:
    parts = [rng.choice(NASTY).decode("utf-8", "replace") for _ in range(rng.randrange(2))]
    parts += [rng.choice("abc") for _ in range(rng.randrange(3))]
    rng.shuffle(parts)
    return rng.choice(("p/", "p/", "p/", "", "p", "/p/", "q/")) + "/".join(parts)


def mutate(data: bytes, rng: Random, change: Change) -> bytes:
    if rng.random() < 0.1:
        return change(data, 1 << 13)
    try:
        rows = [row for row in json.loads(data) if isinstance(row, list) and len(row) == 6]
    except (ValueError, TypeError, RecursionError):
        rows = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        body = "x" * rng.choice((0, 1, 7, 8, 9, 47, 48, 100))
        new = [_key(rng), len(body), rng.choice(_ETAGS[:2]), body, {}, ""]
        row = rng.choice(rows) if rows else new
        what = rng.randrange(10)
        if what == 0 or not rows:
            rows.insert(rng.randrange(len(rows) + 1), new)
        elif what == 1:
            row[0] = _key(rng)
        elif what == 2:
            row[0] = change(str(row[0]).encode("utf-8", "replace"), 300).decode("utf-8", "replace")
        elif what == 3:
            row[1] = rng.choice(_SIZES)
        elif what == 4:
            row[2] = rng.choice(_ETAGS)
        elif what == 5:
            row[3] = rng.choice((None, body))
        elif what == 6:
            row[4] = {rng.choice(_KEYS): rng.choice((*_ETAGS, *_SIZES, "directory", "file"))}
        elif what == 7:
            row[5] = rng.choice(("", "", "y", "y" * 50))
        elif what == 8:
            rows.remove(row)
        else:
            rows.append([*row])
    return json.dumps(rows[:_MOST]).encode()


def seeds() -> Iterator[tuple[str, bytes]]:
    def row(key: str, body: str | None, etag: str | None = '"e1"') -> list[Any]:
        return [key, len(body or ""), etag, body, {}, ""]

    honest = [row("p/a", "one"), row("p/b/c", ""), row("p/d", "0123456789" * 12), row("p/", None)]
    yield "honest", json.dumps(honest).encode()
    yield "no-etags", json.dumps([[*each[:2], None, *each[3:]] for each in honest]).encode()
    yield "sibling", json.dumps([row("p/a", "x"), row("p2/a", "y"), row("p", "z")]).encode()
    yield "twice", json.dumps([row("p/a", "x"), row("p/a", "y"), row("p/a/b", "z")]).encode()
    yield "gone", json.dumps([[*row("p/a", None)[:1], 3, None, None, {}, ""]]).encode()
    yield "longer", json.dumps([[*row("p/a", "x")[:5], "more"]]).encode()
    for number, piece in enumerate(NASTY[:8]):
        name = piece.decode("utf-8", "replace")
        yield (
            f"nasty-{number}",
            json.dumps([row(f"p/{name}/x", "x"), row(f"p/{name}", "y")]).encode(),
        )


def target(name: str) -> Target:
    return Target(_run_store if name == "obstore" else _run_files, mutate, seeds)
