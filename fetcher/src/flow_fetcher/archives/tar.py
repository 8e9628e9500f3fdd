"""Tar archives as they come: POSIX ustar and pax (IEEE 1003.1, "pax"), GNU, and the old v7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flow_fetcher.archives.output import LONGEST_NAME, Output
from flow_fetcher.archives.reader import Reader
from flow_fetcher.names import rejected

_BLOCK = 512
_END = bytes(_BLOCK)
_SMALL = 1 << 20
_FILES = b"\0" + b"07"
_REFUSED = {b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file"}


@dataclass
class _Entry:
    """One header, with what extended headers before it say."""

    name: bytes
    target: bytes
    kind: bytes
    size: int
    executable: bool


def unpack_tar(pieces: Iterator[bytes], output: Output) -> None:
    """Write every entry.

    Raises:
        SourceRejectedError: It is no tar archive, broken, cut off or hostile.
    """
    reader = Reader(pieces, lambda: output.broken("its tar stream is cut off"))
    while (entry := _next_entry(reader, output)) is not None:
        content = entry.size if entry.kind in _FILES else 0
        _write(entry, reader, output)
        reader.skip(-content % _BLOCK)
    # Read on: what follows must be sound too, and its length is known only then.
    reader.drain()


def _write(entry: _Entry, reader: Reader, output: Output) -> None:
    if entry.kind in _REFUSED:
        raise rejected(entry.name, f"is {_REFUSED[entry.kind]}, which is never written")
    is_file = entry.kind in _FILES
    if not is_file and entry.kind not in (b"1", b"2", b"5"):
        raise rejected(entry.name, f"is an entry of an unknown kind, {entry.kind!r}")
    path = output.path(entry.name)
    if path is None:
        if is_file:
            reader.skip(entry.size)
    elif entry.kind == b"5":
        output.directory(path)
    elif entry.kind == b"2":
        output.symlink(path, entry.target)
    elif entry.kind == b"1":
        output.hard_link(path, entry.target)
    elif entry.size <= _SMALL:
        output.write(path, reader.take(entry.size), executable=entry.executable)
    else:
        with output.create(path, executable=entry.executable) as sink:
            for piece in reader.stream(entry.size):
                sink.write(piece)


def _next_entry(reader: Reader, output: Output) -> _Entry | None:
    """The next file, directory or link; None at the end mark."""
    known: dict[bytes, bytes] = {}
    while True:
        block = reader.take(_BLOCK)
        if block == _END:
            if known:
                raise output.broken("it ends after an extended header")
            return None
        entry = _header(block, output)
        if entry.kind not in (b"x", b"g", b"L", b"K", b"V"):
            return _completed(entry, known, output)
        if entry.size > LONGEST_NAME:
            raise output.broken("it has an extended header of more than 64 KiB")
        data = reader.take(entry.size)
        reader.skip(-entry.size % _BLOCK)
        if entry.kind == b"L":
            known[b"path"] = data.partition(b"\0")[0]
        elif entry.kind == b"K":
            known[b"linkpath"] = data.partition(b"\0")[0]
        elif entry.kind == b"x":
            known.update(_records(data, output))
        elif (
            entry.kind == b"g"
            and {b"path", b"linkpath", b"size"} & dict(_records(data, output)).keys()
        ):
            raise output.broken("a global header names a path")


def _header(block: bytes, output: Output) -> _Entry:
    written = _number(block[148:156], output)
    # The sum is over the header with blanks in its own place; old tools summed signed bytes.
    total = sum(block) - sum(block[148:156]) + 8 * 32
    if written not in (total, total - 256 * sum(byte > 127 for byte in block)):
        raise output.broken("a header has a wrong checksum: it is no tar archive, or damaged")
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0":
        prefix = block[345:500].partition(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    return _Entry(
        name=name,
        target=block[157:257].partition(b"\0")[0],
        kind=block[156:157],
        size=_number(block[124:136], output),
        executable=bool(_number(block[100:108], output) & 0o100),
    )


def _completed(entry: _Entry, known: dict[bytes, bytes], output: Output) -> _Entry:
    if any(key.startswith(b"GNU.sparse") for key in known):
        entry.kind = b"S"
    entry.name = known.get(b"path", entry.name)
    entry.target = known.get(b"linkpath", entry.target)
    if b"size" in known:
        if not known[b"size"].isdigit() or len(known[b"size"]) > 20:
            raise output.broken("an extended header has a size that is no number")
        entry.size = int(known[b"size"])
    if entry.kind in (b"\0", b"0") and entry.name.endswith(b"/"):
        entry.kind = b"5"
        if entry.size:
            raise output.broken("a directory has content")
    if b"\0" in entry.name or not entry.name:
        raise output.broken("an entry has no name, or one with NUL")
    return entry


def _records(data: bytes, output: Output) -> Iterator[tuple[bytes, bytes]]:
    """The records `length key=value\\n` of a pax header."""
    while data.strip(b"\0"):
        text, _, _ = data.partition(b" ")
        length = int(text) if text.isdigit() and len(text) < 6 else 0
        key, equals, value = data[len(text) + 1 : length].partition(b"=")
        if not equals or not value.endswith(b"\n") or length > len(data):
            raise output.broken("an extended header is damaged")
        yield key, value[:-1]
        data = data[length:]


def _number(field: bytes, output: Output) -> int:
    """Octal digits, or two's complement where the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.partition(b"\0")[0].strip()
    if text.strip(b"01234567"):
        raise output.broken("a header has a number that is none: it is no tar archive, or damaged")
    return int(text, 8) if text else 0
