"""A second reader of packs, deltas and trees: slow, in memory, written from the format alone."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass

KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
OFS, REF = 6, 7
_MOST = 8 << 20


class Unreadable(Exception):  # noqa: N818
    """This is no valid pack or delta."""


@dataclass
class Raw:
    """One entry as it lies in the pack."""

    offset: int
    kind: int
    base: int | bytes | None
    data: bytes


def entries(pack: bytes, name_size: int) -> list[Raw]:
    """All entries of a pack whose frame is valid."""
    if (
        len(pack) < 12 + name_size
        or pack[:4] != b"PACK"
        or pack[4:8]
        not in (
            b"\0\0\0\2",
            b"\0\0\0\3",
        )
    ):
        raise Unreadable("no pack")
    found, at = [], 12
    for _ in range(int.from_bytes(pack[8:12], "big")):
        entry, at = _entry(pack, at, name_size)
        found.append(entry)
    digest = hashlib.sha1 if name_size == 20 else hashlib.sha256
    if pack[at:] != digest(pack[:at]).digest():
        raise Unreadable("wrong trailer")
    return found


def _entry(pack: bytes, at: int, name_size: int) -> tuple[Raw, int]:
    offset = at
    try:
        byte = pack[at]
        kind, size, shift = (byte >> 4) & 7, byte & 15, 4
        at += 1
        while byte & 0x80:
            byte = pack[at]
            size |= (byte & 0x7F) << shift
            shift += 7
            at += 1
        base: int | bytes | None = None
        if kind == OFS:
            byte = pack[at]
            at += 1
            distance = byte & 0x7F
            while byte & 0x80:
                byte = pack[at]
                at += 1
                distance = ((distance + 1) << 7) | (byte & 0x7F)
            base = offset - distance
        elif kind == REF:
            base = pack[at : at + name_size]
            at += name_size
        elif kind not in KINDS:
            raise Unreadable("unknown kind")
        inflater = zlib.decompressobj()
        data = inflater.decompress(pack[at:], _MOST)
    except (IndexError, zlib.error) as error:
        raise Unreadable(str(error)) from error
    if not inflater.eof or len(data) != size:
        raise Unreadable("wrong size")
    return Raw(offset, kind, base, data), len(pack) - len(inflater.unused_data)


Objects = dict[bytes, tuple[int, bytes]]
"""Name → kind and content."""


def resolved(
    raw: list[Raw], name_size: int, known: Objects | None = None
) -> list[tuple[int, bytes] | None]:
    """(kind, content) of every entry; None where its base is neither here nor known."""
    by_offset = {entry.offset: number for number, entry in enumerate(raw)}
    out: list[tuple[int, bytes] | None] = [None] * len(raw)
    by_name = dict(known or {})
    progress = True
    while progress:
        progress = False
        for number, entry in enumerate(raw):
            if out[number] is not None:
                continue
            if entry.base is None:
                out[number] = (entry.kind, entry.data)
            else:
                if isinstance(entry.base, int):
                    where = by_offset.get(entry.base)
                    base = None if where is None else out[where]
                else:
                    base = by_name.get(entry.base)
                if base is None:
                    continue
                out[number] = (base[0], apply(entry.data, base[1]))
            progress = True
            by_name.setdefault(name(*out[number], name_size), out[number])  # type: ignore[misc, arg-type]
    return out


def name(kind: int, data: bytes, name_size: int) -> bytes:
    """The name of an object."""
    digest = hashlib.sha1 if name_size == 20 else hashlib.sha256
    return digest(KINDS[kind] + b" %d\0" % len(data) + data).digest()


def apply(delta: bytes, base: bytes, most: int = _MOST) -> bytes:
    """What a delta makes of its base."""
    try:
        expected, at = _number(delta, 0)
        size, at = _number(delta, at)
        if expected != len(base):
            raise Unreadable("another base")
        out = bytearray()
        while at < len(delta):
            code = delta[at]
            at += 1
            if code & 0x80:
                fields = []
                for bit in range(7):
                    fields.append(delta[at] if code >> bit & 1 else 0)
                    at += code >> bit & 1
                start = int.from_bytes(bytes(fields[:4]), "little")
                count = int.from_bytes(bytes(fields[4:]), "little") or 0x10000
                if start + count > len(base):
                    raise Unreadable("copies from beyond")
                out += base[start : start + count]
            elif code:
                if at + code > len(delta):
                    raise Unreadable("cut off")
                out += delta[at : at + code]
                at += code
            else:
                raise Unreadable("reserved")
            if len(out) > size or len(out) > most:
                raise Unreadable("too large")
    except IndexError as error:
        raise Unreadable("cut off") from error
    if len(out) != size:
        raise Unreadable("another size")
    return bytes(out)


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise Unreadable("impossible")


_TREE = re.compile(rb"([0-7]+) ([^\0]*)\0", re.DOTALL)


def tree(data: bytes, name_size: int) -> list[tuple[int, bytes, bytes]]:
    """(mode, name, object) of every entry of a tree."""
    found, at = [], 0
    while at < len(data):
        match = _TREE.match(data, at)
        if match is None or match.end() + name_size > len(data):
            raise Unreadable("no tree")
        at = match.end() + name_size
        found.append((int(match[1], 8), match[2], data[match.end() : at]))
    return found


def linked(kind: int, data: bytes) -> bytes | None:
    """The object that a commit or tag leads to."""
    match = re.match(rb"(?:tree|object) ([0-9a-fA-F]+)\n", data)
    return bytes.fromhex(match[1].decode()) if match and len(match[1]) % 2 == 0 else None


def checkout(
    packs: list[bytes], wanted: bytes, directories: tuple[bytes, ...] = ()
) -> dict[bytes, tuple[str, bytes]]:
    """What the tree of a commit must look like, as `oracle.listed` tells it.

    Args:
        packs: In the order in which they came; each may build on those before.
        wanted: The commit, or a tag of it.
        directories: All that is wanted of the tree; empty for everything.

    Raises:
        Unreadable: The packs do not hold it.
    """
    size = len(wanted)
    objects: Objects = {}
    for pack in packs:
        for each in resolved(entries(pack, size), size, objects):
            if each is None:
                raise Unreadable("a base is missing")
            objects[name(*each, size)] = each
    for _ in range(1000):
        kind, data = _object(objects, wanted)
        target = linked(kind, data) if kind in (1, 4) else None
        if target is None:
            raise Unreadable("no commit")
        wanted = target
        if kind == 1:
            break
    found: dict[bytes, tuple[str, bytes]] = {}
    todo = [(b"", wanted)]
    while todo:
        parent, target = todo.pop()
        kind, data = _object(objects, target)
        if kind != 2:
            raise Unreadable("no tree")
        for mode, each, target in tree(data, size):
            path = parent + b"/" + each if parent else each
            kind_bits = mode & 0o170000
            folder = kind_bits in (0o040000, 0o160000)
            if not _concerns(path, kind_bits == 0o040000, directories):
                continue
            if path in found and not (folder and found[path][0] == "directory"):
                raise Unreadable("twice")
            if folder:
                found[path] = ("directory", b"")
                if kind_bits == 0o040000:
                    todo.append((path, target))
                continue
            kind, content = _object(objects, target)
            if kind != 3:
                raise Unreadable("no blob")
            what = "link" if kind_bits == 0o120000 else "executable" if mode & 0o100 else "file"
            found[path] = (what, content)
    if any(found.get(each, ("",))[0] != "directory" for each in directories):
        raise Unreadable("a directory that is wanted is not there")
    return found


def _concerns(path: bytes, folder: bool, directories: tuple[bytes, ...]) -> bool:
    """Whether a path lies in one of the directories, or leads to one."""
    parts = path.split(b"/")
    for each in directories:
        wanted = each.split(b"/")
        if parts[: len(wanted)] == wanted and (folder or len(parts) > len(wanted)):
            return True
        if folder and wanted[: len(parts)] == parts:
            return True
    return not directories


def _object(objects: Objects, wanted: bytes) -> tuple[int, bytes]:
    if wanted not in objects:
        raise Unreadable(f"{wanted.hex()} is missing")
    return objects[wanted]
