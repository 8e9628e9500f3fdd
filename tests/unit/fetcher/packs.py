"""Packs made byte by byte, honest ones and others."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from flow_fetcher.log import Log
from flow_fetcher.redact import Redactor
from flow_fetcher.sources.git.checkout import Checkout
from flow_fetcher.sources.git.pack import (
    BLOB,
    COMMIT,
    OFS_DELTA,
    REF_DELTA,
    TREE,
    Scratch,
)
from flow_fetcher.tree import Limits, TreeWriter

NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", 4: b"tag"}


def name(kind: int, data: bytes) -> bytes:
    return hashlib.sha1(NAMES[kind] + b" %d\0" % len(data) + data).digest()


def tree(*entries: tuple[str, str | bytes, bytes]) -> bytes:
    """A tree object of (mode, name, object) as they are given."""
    return b"".join(
        mode.encode() + b" " + (each.encode() if isinstance(each, str) else each) + b"\0" + target
        for mode, each, target in entries
    )


def commit(root: bytes) -> bytes:
    return b"tree %s\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nx\n" % root.hex().encode()


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def delta(base: bytes, result: bytes) -> bytes:
    """A delta that copies what both begin with and inserts the rest."""
    same = 0
    while same < min(len(base), len(result)) and base[same] == result[same]:
        same += 1
    out = bytearray(varint(len(base)) + varint(len(result)))
    start = 0
    while start < same:
        size = min(same - start, 0xFFFF)
        out += (
            bytes([0x80 | 0x0F | 0x30]) + start.to_bytes(4, "little") + size.to_bytes(2, "little")
        )
        start += size
    for at in range(same, len(result), 127):
        piece = result[at : at + 127]
        out += bytes([len(piece)]) + piece
    return bytes(out)


class Pack:
    """Entries one after the other; `bytes` ends it."""

    def __init__(self, count: int | None = None, version: int = 2) -> None:
        self._body = bytearray()
        self._count = count
        self._entries = 0
        self._version = version

    def add(
        self,
        kind: int,
        data: bytes,
        *,
        base: bytes | int | None = None,
        size: int | None = None,
        raw: bytes | None = None,
    ) -> int:
        """Append an entry, with a lie about its size or its compressed bytes if wanted.

        Returns:
            Where it begins.
        """
        offset = 12 + len(self._body)
        left = len(data) if size is None else size
        byte, left = (kind << 4) | (left & 15), left >> 4
        while left:
            self._body.append(byte | 0x80)
            byte, left = left & 0x7F, left >> 7
        self._body.append(byte)
        if isinstance(base, bytes):
            self._body += base
        elif base is not None:
            self._body += _distance(offset - base)
        self._body += zlib.compress(data) if raw is None else raw
        self._entries += 1
        return offset

    @property
    def end(self) -> int:
        """Where the next entry will begin."""
        return 12 + len(self._body)

    def blob(self, data: bytes) -> bytes:
        self.add(BLOB, data)
        return name(BLOB, data)

    def tree(self, *entries: tuple[str, str | bytes, bytes]) -> bytes:
        data = tree(*entries)
        self.add(TREE, data)
        return name(TREE, data)

    def commit(self, root: bytes) -> bytes:
        data = commit(root)
        self.add(COMMIT, data)
        return name(COMMIT, data)

    def ofs_delta(self, base: int, old: bytes, new: bytes) -> int:
        return self.add(OFS_DELTA, delta(old, new), base=base)

    def ref_delta(self, base: bytes, old: bytes, new: bytes) -> int:
        return self.add(REF_DELTA, delta(old, new), base=base)

    def bytes(self) -> bytes:
        count = self._entries if self._count is None else self._count
        raw = b"PACK" + self._version.to_bytes(4, "big") + count.to_bytes(4, "big") + self._body
        return raw + hashlib.sha1(raw).digest()


def _distance(value: int) -> bytes:
    out = [value & 0x7F]
    value >>= 7
    while value:
        value -= 1
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    return bytes(reversed(out))


def pieces(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def check_out(
    directory: Path, raw: bytes, wanted: bytes, *, chunk: int = 1000, limits: Limits | None = None
) -> dict[str, bytes]:
    """Check a pack out; path → content of the files."""
    scratch = directory / "scratch"
    scratch.mkdir(parents=True)
    log = Log(Redactor(), stream=io.StringIO())
    with TreeWriter(directory / "src", limits or Limits()) as writer:
        checkout = Checkout(wanted.hex(), "commit x", writer, Scratch(scratch), log)
        assert checkout.run(pieces(raw, chunk)) == wanted.hex()
        writer.finish()
        assert writer.files == sum(not p.is_dir() or p.is_symlink() for p in writer.root.rglob("*"))
    return {
        path.relative_to(directory / "src").as_posix(): path.read_bytes()
        for path in (directory / "src").rglob("*")
        if path.is_file()
    }
