"""Changes of zip archives: their members, and lies in any of their headers."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.fuzz.mutation import NASTY, NUMBERS, Change, some

_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s5HL2L2H")


def _members(raw: bytes) -> list[dict[str, Any]] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            found = []
            for each in archive.infolist()[:20]:
                if each.file_size > 1 << 16 or each.compress_type not in (0, 8):
                    return None
                content = archive.read(each)
                found.append(
                    {
                        "name": each.orig_filename.encode("utf-8", "surrogateescape"),
                        "content": content,
                        "mode": each.external_attr >> 16,
                        "method": each.compress_type,
                    }
                )
            return found or None
    except Exception:
        return None


def _zip(members: list[dict[str, Any]], rng: Random, *, lies: bool) -> bytes:
    """A zip archive of these; a member may hold the fields of headers that are lies."""
    out, central = bytearray(), bytearray()
    if lies and rng.random() < 0.1:
        out += b"#!/bin/sh\n"
    for member in members:
        content = member["content"]
        packed = content
        if member["method"] == 8:
            stream = zlib.compressobj(9, wbits=-15)
            packed = stream.compress(content) + stream.flush()
        packed = member.get("packed", packed)
        name = member["name"]
        crc, size = member.get("crc", zlib.crc32(content)), member.get("size", len(content))
        stored = member.get("stored", len(packed))
        flags, extra = member.get("flags", 0x800), member.get("extra", b"")
        offset = member.get("offset", len(out))
        local_name = member.get("local", name)
        local = (crc, min(stored, 0xFFFFFFFF), min(size, 0xFFFFFFFF))
        if flags & 8:
            local = (0, 0, 0)
        out += _LOCAL.pack(
            b"PK\3\4", 20, flags, member["method"], 0, 33, *local, len(local_name), len(extra)
        )
        out += local_name + extra + packed
        if flags & 8:
            out += struct.pack("<4sLLL", b"PK\7\x08", crc, stored & 0xFFFFFFFF, size & 0xFFFFFFFF)
        central += _CENTRAL.pack(
            b"PK\1\2", 20, member.get("host", 3), 20, 0, flags, member["method"], 0, 33, crc,
            min(stored, 0xFFFFFFFF), min(size, 0xFFFFFFFF), len(name), len(extra), 0, 0, 0,
            (member["mode"] & 0xFFFF) << 16, min(offset, 0xFFFFFFFF),
        )  # fmt: skip
        central += name + extra
    start, count = len(out), len(members)
    out += central
    fields = [count, count, len(central), start]
    if lies and rng.random() < 0.15:
        fields[rng.randrange(4)] = rng.choice((0, 1, start // 2, 0xFFFF, count + 1))
    if rng.random() < 0.1:
        at = len(out)
        out += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *fields)
        out += struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    counts = [each & 0xFFFF for each in fields[:2]]
    comment = b"comment" if rng.random() < 0.1 else b""
    sizes = [each & 0xFFFFFFFF for each in fields[2:]]
    out += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *counts, *sizes, len(comment)) + comment
    return bytes(out)


def mutate(data: bytes, rng: Random, change: Change) -> bytes:
    flags, raw = data[:1] or b"\0", data[1:]
    if rng.random() < 0.1:
        flags = bytes([rng.randrange(8)])
    if rng.random() < 0.15:
        return flags + change(raw, 1 << 14)
    members = _members(raw) or _honest_members()
    for _ in range(rng.choice((1, 1, 2, 3))):
        member = rng.choice(members)
        what = rng.randrange(13)
        if what <= 2:
            member["name"] = rng.choice((rng.choice(NASTY), change(member["name"], 300))) or b"n"
        elif what == 3:
            member["mode"] = rng.choice((0o100644, 0o120777, 0o040755, 0o010644, 0o104755, 0))
        elif what == 4:
            member["content"] = some(rng, member["content"], change)
        elif what == 5:
            member[rng.choice(("size", "stored", "offset"))] = rng.choice(NUMBERS)
        elif what == 6:
            member["crc"] = 0
        elif what == 7:
            member["flags"] = rng.choice((0, 1, 8, 0x808, 0x800, 0x2000))
        elif what == 8:
            member["host"] = rng.choice((0, 3, 10, 19))
        elif what == 9:
            member["method"] = rng.choice((0, 8, 8, 12))
        elif what == 10:
            member["local"] = rng.choice(NASTY)
        elif what == 11:
            sizes = (len(member["content"]), *NUMBERS)
            fields = [rng.choice(sizes) & (2**64 - 1) for _ in range(3)]
            member["extra"] = struct.pack("<2H3Q", 1, 24, *fields)
            member[rng.choice(("size", "stored", "offset"))] = 0xFFFFFFFF
        else:
            members.append(dict(rng.choice(members)))
            if rng.random() < 0.4:
                link = {"content": rng.choice(NASTY), "mode": 0o120777, "method": 0}
                members.append({**link, "name": b"l%d" % rng.randrange(4)})
    if rng.random() < 0.2:
        rng.shuffle(members)
    return flags + _zip(members[:20], rng, lies=True)


def _honest_members() -> list[dict[str, Any]]:
    return [
        {"name": b"top/", "content": b"", "mode": 0o040755, "method": 0},
        {"name": b"top/f.py", "content": b"print()\n" * 60, "mode": 0o100755, "method": 8},
        {"name": b"top/g", "content": b"stored", "mode": 0o100644, "method": 0},
        {"name": b"top/l", "content": b"f.py", "mode": 0o120777, "method": 0},
    ]


def seeds() -> Iterator[tuple[str, bytes]]:
    for number in range(3):
        members = _honest_members()
        members[1]["flags"] = 0x808 if number == 1 else 0x800
        yield f"honest-{number}", bytes([number]) + _zip(members, Random(number), lies=False)
