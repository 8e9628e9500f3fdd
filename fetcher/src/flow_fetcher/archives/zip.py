"""Zip archives (PKWARE's APPNOTE) in order of their entries, after the directory at their end.

The directory says what there is: sizes, checksums, modes. Every local header must agree with it,
and entries must not share bytes: what two programs could read in two ways is refused.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from flow_fetcher.archives.blob import Blob
from flow_fetcher.archives.output import Output
from flow_fetcher.archives.reader import Reader
from flow_fetcher.names import LONGEST_TARGET, rejected

_TAIL = 22 + 0xFFFF
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s5HL2L2H")
_LARGEST_DIRECTORY = 16 << 20
_MOST = 1 << 20
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED, _UTF8, _STRONG = 0x1, 0x800, 0x2040
_UNIX, _APPLE = 3, 19
_FOREIGN = (0, 10, 11, 14)
"""Hosts whose tools may write backslashes between the parts of a path."""


@dataclass(slots=True)
class _Entry:
    """One line of the directory."""

    raw_name: bytes
    name: bytes
    method: int
    checksum: int
    packed: int
    size: int
    mode: int
    offset: int


def unpack_zip(blob: Blob, pieces: Iterator[bytes], output: Output) -> None:
    """Write every entry.

    Raises:
        SourceRejectedError: It is no zip archive, broken, cut off or hostile.
    """
    directory, count, shift, limit = _directory(blob, output)
    places = sorted(_places(directory, count, output))
    reader = Reader(pieces, lambda: output.broken("it is cut off"))
    for _, at in places:
        entry = _entry(directory, at, output)
        gap = entry.offset + shift - reader.offset
        if gap < 0:
            raise rejected(entry.name, "shares bytes with another entry of the archive")
        reader.skip(gap)
        _check_local(reader, entry, output)
        if reader.offset + entry.packed > limit:
            raise output.broken("an entry reaches into the directory")
        _write(entry, reader, output)
    reader.drain()


def _write(entry: _Entry, reader: Reader, output: Output) -> None:
    kind = stat.S_IFMT(entry.mode)
    is_directory = entry.name.endswith(b"/") or kind == stat.S_IFDIR
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise rejected(entry.name, "is a device, pipe or socket, which is never written")
    path = output.path(entry.name)
    content = _content(entry, reader, output)
    executable = bool(entry.mode & 0o100)
    if is_directory and entry.size:
        raise rejected(entry.name, "is a directory with content")
    if path is None or is_directory:
        for _ in content:
            pass
        if path is not None:
            output.directory(path)
    elif kind == stat.S_IFLNK:
        if entry.size > LONGEST_TARGET:
            raise rejected(entry.name, "is a symbolic link with too long a target")
        output.symlink(path, b"".join(content))
    elif entry.size <= _MOST:
        output.write(path, b"".join(content), executable=executable)
    else:
        with output.create(path, executable=executable) as sink:
            for piece in content:
                sink.write(piece)


def _content(entry: _Entry, reader: Reader, output: Output) -> Iterator[bytes]:
    """The unpacked bytes; at their end length and checksum have been compared."""
    pieces = reader.stream(entry.packed)
    left, checksum = entry.size, 0
    for piece in _inflate(entry, pieces, output) if entry.method else pieces:
        left -= len(piece)
        if left < 0:
            raise rejected(entry.name, "is longer than the archive says")
        checksum = zlib.crc32(piece, checksum)
        yield piece
    if left:
        raise rejected(entry.name, "is shorter than the archive says")
    if checksum != entry.checksum:
        raise rejected(entry.name, "has a wrong checksum: the archive is damaged")


def _inflate(entry: _Entry, pieces: Iterator[bytes], output: Output) -> Iterator[bytes]:
    stream, size = zlib.decompressobj(wbits=-15), 0
    for piece in pieces:
        left = piece
        while left:
            if stream.eof:
                raise rejected(entry.name, "has bytes after its end")
            try:
                out = stream.decompress(left, _MOST)
            except zlib.error as error:
                raise output.broken(f"the data of an entry is broken ({error})") from error
            left = stream.unconsumed_tail or stream.unused_data
            size += len(out)
            output.grown(size)
            yield out
    while not stream.eof:
        out = stream.decompress(b"", _MOST)
        if not out:
            raise rejected(entry.name, "is cut off")
        yield out


def _check_local(reader: Reader, entry: _Entry, output: Output) -> None:
    """Pass over the local header, which must be of the same entry."""
    header = _LOCAL.unpack(reader.take(_LOCAL.size))
    magic, method, name_size, extra_size = header[0], header[3], header[9], header[10]
    if magic != b"PK\3\4":
        raise output.broken("an entry is not where the directory says")
    name = reader.take(name_size)
    reader.skip(extra_size)
    if name != entry.raw_name or method != entry.method:
        raise rejected(entry.name, "is called something else in its own header")


def _directory(blob: Blob, output: Output) -> tuple[bytes, int, int, int]:
    """The directory, the number of its entries, by how many bytes all offsets are too low, and
    where the directory begins."""
    tail = blob.tail(_TAIL)
    at = tail.rfind(b"PK\5\6")
    while at >= 0 and at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little") != len(
        tail
    ):
        at = tail.rfind(b"PK\5\6", 0, at)
    if at < 0:
        raise output.broken("it has no directory at its end: it is no zip archive, or cut off")
    _, disk, first, here, count, size, offset, _ = _END.unpack_from(tail, at)
    end = blob.size - len(tail) + at
    before = at - _LOCATOR.size
    if before >= 0 and tail[before : before + 4] == b"PK\6\7":
        _, _, where, _ = _LOCATOR.unpack_from(tail, before)
        end = _end64(blob, where, end - _LOCATOR.size, output)
        fields = _END64.unpack(blob.part(end, end + _END64.size))
        disk, first, here, count, size, offset = fields[4:]
    if disk or first or here != count:
        raise output.broken("it is one part of several")
    if size > _LARGEST_DIRECTORY or count > size // _CENTRAL.size:
        raise output.broken("its directory is too large")
    start = end - size
    shift = start - offset
    if start < 0 or shift < 0:
        raise output.broken("its directory is not where its end says")
    return blob.part(start, start + size), count, shift, start


def _end64(blob: Blob, where: int, limit: int, output: Output) -> int:
    """Where the record of zip64 is: at the stated offset, or right before its locator."""
    for place in (where, limit - _END64.size):
        if 0 <= place <= limit - _END64.size and blob.part(place, place + 4) == b"PK\6\6":
            size = int.from_bytes(blob.part(place + 4, place + 12), "little")
            if place + 12 + size == limit:
                return place
    raise output.broken("its zip64 record is not where its end says")


def _places(directory: bytes, count: int, output: Output) -> Iterator[tuple[int, int]]:
    """(offset of the entry, place in the directory) for each."""
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(directory):
            raise output.broken("its directory is cut off")
        yield _entry(directory, at, output).offset, at
        at += _CENTRAL.size + sum(struct.unpack_from("<3H", directory, at + 28))
    if at != len(directory):
        raise output.broken("its directory has more entries than it says")


def _entry(directory: bytes, at: int, output: Output) -> _Entry:
    fields = _CENTRAL.unpack_from(directory, at)
    magic, _, host = fields[0], fields[1], fields[2]
    flags, method = fields[5], fields[6]
    checksum, packed, size, name_size, extra_size = fields[9:14]
    attributes, offset = fields[17], fields[18]
    start = at + _CENTRAL.size
    raw = directory[start : start + name_size]
    extra = directory[start + name_size : start + name_size + extra_size]
    if magic != b"PK\1\2" or len(extra) != extra_size or not raw:
        raise output.broken("its directory is damaged")
    name = _decoded(raw, flags, host)
    if flags & (_ENCRYPTED | _STRONG):
        raise rejected(name, "is encrypted, which is not supported")
    if method not in (0, 8):
        raise rejected(name, f"is packed by method {method}: only deflate is supported")
    size, packed, offset = _wide(extra, size, packed, offset, output)
    if method == 0 and size != packed:
        raise rejected(name, "is longer or shorter than the archive says")
    mode = attributes >> 16 if host in (_UNIX, _APPLE) else 0
    return _Entry(raw, name, method, checksum, packed, size, mode, offset)


def _wide(
    extra: bytes, size: int, packed: int, offset: int, output: Output
) -> tuple[int, int, int]:
    """The numbers that did not fit, from the extra field of zip64."""
    values = [size, packed, offset]
    if _FULL32 not in values:
        return size, packed, offset
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        data, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind != 1:
            continue
        for index, value in enumerate(values):
            if value == _FULL32:
                if len(data) < 8:
                    break
                values[index], data = int.from_bytes(data[:8], "little"), data[8:]
        else:
            return values[0], values[1], values[2]
    raise output.broken("its directory lacks the numbers of zip64")


def _decoded(raw: bytes, flags: int, host: int) -> bytes:
    """The name in UTF-8. Without its flag it is code page 437, or UTF-8 all the same."""
    if not raw.isascii() and not flags & _UTF8:
        try:
            raw.decode()
        except UnicodeDecodeError:
            raw = raw.decode("cp437").encode()
    return raw.replace(b"\\", b"/") if host in _FOREIGN and b"/" not in raw else raw
