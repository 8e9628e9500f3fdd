"""Keeps what arrived until it is needed: in memory, spilled to disk, or where it was written.

A pack may send an object long before its path is known, or before a delta that builds on it. Held
objects fill memory up to a bound and spill to disk beyond it; files of the tree are read back from
the tree.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections import OrderedDict

from flow_fetcher.record import Record
from flow_fetcher.sources.git import delta as deltas
from flow_fetcher.sources.git.pack import BLOB, COMMIT, LARGE, TAG, TREE, Scratch, Staged
from flow_fetcher.tree import TreeWriter

KIND_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}

_HELD_IN_MEMORY = 16 << 20
_CACHED = 2 << 20
_PIECE = 1 << 20


class Span(Record):
    """Where in the spill file something lies."""

    start: int
    size: int


Kept = bytes | Staged | Span
"""What `keep` makes of content, for `restore`."""


class Objects:
    """The objects of one pack, by name.

    Args:
        algorithm: `sha1` or `sha256`.
        tree: Where blobs are written.
        scratch: Takes what does not fit into memory.
    """

    def __init__(self, algorithm: str, tree: TreeWriter, scratch: Scratch) -> None:
        begin = getattr(hashlib, algorithm)
        self._hashes = {
            kind: begin(name + b" ", usedforsecurity=False) for kind, name in KIND_NAMES.items()
        }
        self._tree = tree
        self._scratch = scratch
        self._held: dict[bytes, tuple[int, Kept]] = {}
        self._written: dict[bytes, bytes] = {}
        self._cache: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()
        self._cached = 0
        self._in_memory = 0
        self._spill: int | None = None
        self._spilled = 0

    def __contains__(self, name: bytes) -> bool:
        return name in self._written or name in self._held

    def close(self) -> None:
        """Let go of the spill file."""
        if self._spill is not None:
            os.close(self._spill)

    def name(self, kind: int, data: bytes | Staged) -> bytes:
        """The name of an object: the hash of its kind, size and content."""
        digest = self._hashes[kind].copy()
        if isinstance(data, bytes):
            digest.update(b"%d\0" % len(data))
            digest.update(data)
        else:
            digest.update(b"%d\0" % data.size)
            with data.path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        return bytes(digest.digest())

    def hold(self, name: bytes, kind: int, data: bytes | Staged) -> None:
        """Keep an object that is not, or not only, a file of the tree."""
        self._held[name] = (kind, self.keep(data))

    def written(self, name: bytes, path: bytes) -> None:
        """Note that a blob lies in the tree under this path."""
        self._written[name] = path
        _, kept = self._held.pop(name, (BLOB, None))
        if isinstance(kept, bytes):
            self._in_memory -= len(kept)

    def path(self, name: bytes) -> bytes | None:
        """Where in the tree a blob lies already."""
        return self._written.get(name)

    def cache(self, name: bytes, kind: int, data: bytes) -> None:
        """Remember what the next delta may build on."""
        self._cache[name] = (kind, data)
        self._cached += len(data)
        while self._cached > _CACHED:
            self._cached -= len(self._cache.popitem(last=False)[1][1])

    def load(self, name: bytes) -> tuple[int, bytes | Staged]:
        """An object that is there.

        Raises:
            KeyError: It is not.
        """
        if name in self._cache:
            return self._cache[name]
        kind, kept = self._held.get(name) or (BLOB, None)
        if kept is None:
            return BLOB, self._read_back(self._written[name])
        return kind, self._content(kept)

    def keep(self, data: bytes | Staged) -> Kept:
        """Put content away, in memory or on disk."""
        if isinstance(data, Staged):
            return data
        if self._in_memory + len(data) > _HELD_IN_MEMORY:
            return self._spill_out(data)
        self._in_memory += len(data)
        return data

    def restore(self, kept: Kept) -> bytes | Staged:
        """Get back what was put away with `keep`, once."""
        if isinstance(kept, bytes):
            self._in_memory -= len(kept)
        return self._content(kept)

    def _content(self, kept: Kept) -> bytes | Staged:
        if not isinstance(kept, Span):
            return kept
        assert self._spill is not None
        return _pread(self._spill, kept.start, kept.start + kept.size)

    def rebuild(self, base: bytes | Staged, delta: bytes | Staged) -> bytes | Staged:
        """What a delta makes of its base.

        Raises:
            SourceRejectedError: The delta is corrupt.
        """
        if isinstance(base, bytes) and isinstance(delta, bytes):
            _, size, _ = deltas.sizes(delta)
            if size <= LARGE:
                return deltas.apply(delta, base)
        return self._rebuild_large(base, delta)

    def _rebuild_large(self, base: bytes | Staged, delta: bytes | Staged) -> Staged:
        if isinstance(delta, Staged):
            with (
                delta.path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view,
            ):
                result = self._rebuild_into_file(base, view)
            delta.path.unlink()
            return result
        return self._rebuild_into_file(base, delta)

    def _rebuild_into_file(self, base: bytes | Staged, delta: bytes | mmap.mmap) -> Staged:
        _, size, _ = deltas.sizes(delta)
        path = self._scratch.new(size)
        with path.open("xb") as file:
            if isinstance(base, Staged):
                with base.path.open("rb") as source:
                    deltas.apply_into(delta, _File(source.fileno(), base.size), file.write)
            else:
                deltas.apply_into(delta, base, file.write)
        return Staged(path, size)

    def _read_back(self, path: bytes) -> bytes | Staged:
        with self._tree.open(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= LARGE:
                return _pread(file.fileno(), 0, size)
        return Staged(self._tree.root / os.fsdecode(path), size)

    def _spill_out(self, data: bytes) -> Span:
        if self._spill is None:
            path = self._scratch.new()
            self._spill = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            path.unlink()
        self._scratch.take(len(data))
        span = Span(self._spilled, len(data))
        view = memoryview(data)
        while view:
            written = os.pwrite(self._spill, view, self._spilled)
            self._spilled += written
            view = view[written:]
        return span


class _File:
    """An open file that can be cut like bytes."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        return _pread(self._descriptor, part.start, part.stop)


def _pread(descriptor: int, start: int, stop: int) -> bytes:
    data = os.pread(descriptor, stop - start, start)
    while len(data) < stop - start:
        piece = os.pread(descriptor, stop - start - len(data), start + len(data))
        if not piece:
            raise EOFError("a file of the tree became shorter while it was read")
        data += piece
    return data
