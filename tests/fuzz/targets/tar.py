"""Changes of tar archives, with checksums that are right, within their compression."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator
from random import Random

from flow_fetcher.archives.compression import _library
from tests.fuzz.mutation import NASTY, NUMBERS, Change, some

_BLOCK = 512


def _packed(ending: str, tar: bytes, rng: Random) -> bytes:
    if ending == "tar":
        return tar
    cut = rng.randrange(len(tar) + 1) if rng.random() < 0.1 else len(tar)
    return b"".join(_pack_one(ending, part) for part in (tar[:cut], tar[cut:]) if part)


def _pack_one(ending: str, data: bytes) -> bytes:
    if ending == "tar.gz":
        stream = zlib.compressobj(6, wbits=31)
        return stream.compress(data) + stream.flush()
    return bytes(_library().compress(data))


def _unpacked(ending: str, raw: bytes) -> bytes | None:
    """The tar within, at most 1 MiB of it, or None."""
    try:
        if ending == "tar":
            return raw
        if ending == "tar.gz":
            return zlib.decompressobj(wbits=31).decompress(raw, 1 << 20)
        return bytes(_library().ZstdDecompressor().decompress(raw, 1 << 20))
    except Exception:
        return None


def _blocks(tar: bytes) -> list[tuple[bytes, bytes]]:
    """(header, content with padding) of every entry, as far as they can be read."""
    found, at = [], 0
    while at + _BLOCK <= len(tar) and tar[at : at + _BLOCK].strip(b"\0"):
        header = tar[at : at + _BLOCK]
        try:
            size = int(header[124:136].strip(b"\0 ") or b"0", 8)
        except ValueError:
            size = 0
        end = at + _BLOCK + -(-size // _BLOCK) * _BLOCK
        found.append((header, tar[at + _BLOCK : end]))
        at = max(at + _BLOCK, min(end, len(tar)))
    return found


def _sum(header: bytes) -> bytes:
    header = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def mutate(ending: str, data: bytes, rng: Random, change: Change) -> bytes:
    flags, raw = data[:1] or b"\0", data[1:]
    if rng.random() < 0.1:
        flags = bytes([rng.randrange(8)])
    tar = _unpacked(ending, raw)
    if tar is None or rng.random() < 0.08:
        return flags + change(raw, 1 << 14)
    entries = _blocks(tar) or _blocks(next(_tars())[1])
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(entries))
        header, body = entries[at]
        what = rng.randrange(12)
        if what <= 1:
            name = rng.choice(NASTY)[:100]
            start = rng.choice((0, 0, 157))
            header = header[:start] + name.ljust(100, b"\0") + header[start + 100 :]
        elif what == 2:
            kind = rng.choice(b"0123456789xgLKSVD\0").to_bytes(1, "big")
            header = header[:156] + kind + header[157:]
        elif what == 3:
            size = rng.choice((*NUMBERS, len(body)))
            field = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
            header = header[:124] + field + header[136:]
        elif what == 4:
            header = change(header, _BLOCK).ljust(_BLOCK, b"\0")
        elif what == 5:
            body = some(rng, body, change)
            header = header[:124] + b"%011o\0" % len(body) + header[136:]
            body += bytes(-len(body) % _BLOCK)
        elif what == 6:
            entries.insert(at, entries[rng.randrange(len(entries))])
            continue
        elif what == 7 and len(entries) > 1:
            del entries[at]
            continue
        elif what == 8:
            key = rng.choice((b"path", b"linkpath", b"size", b"GNU.sparse.name", b"x", b"mtime"))
            value = rng.choice((*NASTY, b"%d" % rng.choice(NUMBERS)))
            entries.insert(at, _pax(key, value, rng))
            continue
        elif what == 9:
            name = rng.choice((*NASTY, b"d/" * 60 + b"x")) + b"\0"
            entries.insert(at, _special(rng.choice(b"LK"), name))
            continue
        elif what == 10:
            header = header[:345] + rng.choice(NASTY)[:155].ljust(155, b"\0") + header[500:]
        else:
            link = _sum(header[:156] + rng.choice((b"1", b"2")) + header[157:])
            start = rng.choice(entries)[0][:100]
            target = rng.choice((start, rng.choice(NASTY)[:100].ljust(100, b"\0")))
            link = link[:157] + target + link[257:]
            header = link[:124] + b"%011o\0" % 0 + link[136:]
            header, body = rng.choice((b"l1", b"l2", b"l3")).ljust(100, b"\0") + header[100:], b""
        entries[at] = (_sum(header) if rng.random() < 0.95 else header, body)
    end = rng.choice((bytes(1024), bytes(1024), bytes(512), b"", bytes(5120), bytes(1024) + b"x"))
    tar = b"".join(header + body for header, body in entries[:40]) + end
    out = _packed(ending, tar[: 1 << 18], rng)
    if ending != "tar" and rng.random() < 0.06:
        out = change(out, 1 << 14)
    return flags + out


def _special(kind: int, content: bytes) -> tuple[bytes, bytes]:
    header = bytearray(_BLOCK)
    header[:5], header[100:108] = b"./@Lx", b"0000644\0"
    header[124:136], header[156] = b"%011o\0" % len(content), kind
    header[257:265] = b"ustar\x0000"
    return _sum(bytes(header)), content + bytes(-len(content) % _BLOCK)


def _pax(key: bytes, value: bytes, rng: Random) -> tuple[bytes, bytes]:
    record = b" %s=%s\n" % (key, value)
    length = len(record) + 1
    while len(b"%d" % length) + len(record) != length:
        length += 1
    if rng.random() < 0.1:
        length = rng.choice(NUMBERS)
    return _special(rng.choice(b"xxxg"), b"%d%s" % (length, record))


def _tars() -> Iterator[tuple[str, bytes]]:
    for number, (form, label) in enumerate(
        ((tarfile.PAX_FORMAT, "pax"), (tarfile.GNU_FORMAT, "gnu"), (tarfile.USTAR_FORMAT, "ustar"))
    ):
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
            for name, fields, content in (
                ("top", {"type": tarfile.DIRTYPE}, b""),
                ("top/f.py", {"mode": 0o755}, b"print()\n" * 90),
                ("top/" + "long/" * (20 if number < 2 else 2) + "x" * 90, {}, b"deep"),
                ("top/é", {}, b""),
                ("top/l", {"type": tarfile.SYMTYPE, "linkname": "f.py"}, b""),
                ("top/h", {"type": tarfile.LNKTYPE, "linkname": "top/f.py"}, b""),
            ):
                member = tarfile.TarInfo(name)
                for key, value in fields.items():
                    setattr(member, key, value)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        # Without the blanks that fill up the last record.
        raw = sink.getvalue().rstrip(b"\0")
        yield label, raw + bytes(2048 - len(raw) % _BLOCK)


def seeds(ending: str) -> Iterator[tuple[str, bytes]]:
    for number, (label, tar) in enumerate(_tars()):
        yield label, bytes([2 * (number & 1)]) + _packed(ending, tar, Random(1))
