"""Reads a pack while it arrives: entry after entry, in bounded memory, with its checksum verified.

See gitformat-pack(5). What an entry inflates to is known beforehand, so nothing can grow beyond it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from flow_fetcher.errors import FetchError, SourceRejectedError, SourceUnreachableError
from flow_fetcher.record import Record
from flow_fetcher.sources.git.delta import CORRUPT_REMEDY
from flow_fetcher.sources.git.inflate import INFLATE_ERRORS, Decompressor, decompressobj

COMMIT, TREE, BLOB, TAG, OFS_DELTA, REF_DELTA = 1, 2, 3, 4, 6, 7

LARGE = 4 << 20
"""What inflates to more than this goes to a file instead of memory."""

_HEADER = 12
_LONGEST_ENTRY_HEADER = 64
_PIECE = 1 << 18
_LARGEST = 1 << 40
_ROOM = 128 << 30
"""Twice the largest tree: objects as they arrive, and what deltas make of them."""


class Staged(Record):
    """Content that is too large for memory, in a file of its own."""

    path: Path
    size: int


class Scratch:
    """Names files for what does not fit into memory, and bounds what they take together.

    Args:
        directory: Where the files lie.
        room: How many bytes may be written to them; a delta of a few bytes can ask for any number.
    """

    def __init__(self, directory: Path, room: int = _ROOM) -> None:
        self.directory = directory
        self._room = room
        self._number = 0

    def new(self, size: int = 0) -> Path:
        """A path that is not taken, for a file of this size.

        Raises:
            SourceRejectedError: There is no room for it.
        """
        self.take(size)
        self._number += 1
        return self.directory / str(self._number)

    def take(self, size: int) -> None:
        """Count what a file grows by.

        Raises:
            SourceRejectedError: There is no room for it.
        """
        self._room -= size
        if self._room < 0:
            raise corrupt("what it unpacks to is too large for any tree that may be fetched")


Entry = tuple[int, int, int | bytes | None, bytes | Staged]
"""Where it begins in the pack, its kind, for a delta its base (likewise where that begins, or its
name), and its content."""


class PackReader:
    """Iterates over the entries of one pack.

    Args:
        chunks: The pack, in pieces of any size.
        algorithm: `sha1` or `sha256`, as the repository uses.
        scratch: Takes large content.
    """

    def __init__(self, chunks: Iterator[bytes], algorithm: str, scratch: Scratch) -> None:
        self._chunks = chunks
        self._scratch = scratch
        self._digest = hashlib.new(algorithm, usedforsecurity=False)
        self._name_size = self._digest.digest_size
        self._buffer = b""
        self._position = 0
        self._consumed = 0
        """How many bytes of the pack lie before the buffer."""

    def __iter__(self) -> Iterator[Entry]:
        """The entries, in the order of the pack.

        Raises:
            SourceUnreachableError: The stream ended early.
            SourceRejectedError: This is no pack, or it is corrupt.
        """
        for _ in range(self._header()):
            self._want(_LONGEST_ENTRY_HEADER)
            try:
                yield self._entry()
            except IndexError:
                raise _truncated() from None
        self._trailer()

    def _header(self) -> int:
        self._want(_HEADER)
        header = self._buffer[:_HEADER]
        if len(header) < _HEADER:
            raise _truncated()
        version = int.from_bytes(header[4:8], "big")
        if header[:4] != b"PACK" or version not in (2, 3):
            raise corrupt("it does not begin like a pack")
        self._position = _HEADER
        return int.from_bytes(header[8:], "big")

    def _entry(self) -> Entry:
        buffer, at = self._buffer, self._position
        offset = self._consumed + at
        byte = buffer[at]
        at += 1
        kind, size, shift = (byte >> 4) & 7, byte & 15, 4
        while byte & 0x80:
            byte = buffer[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
        if size > _LARGEST:
            raise corrupt("an object announces an impossible size")
        base: int | bytes | None = None
        if kind == OFS_DELTA:
            byte = buffer[at]
            at += 1
            distance = byte & 0x7F
            while byte & 0x80:
                byte = buffer[at]
                at += 1
                distance = ((distance + 1) << 7) | (byte & 0x7F)
            base = offset - distance
        elif kind == REF_DELTA:
            base = buffer[at : at + self._name_size]
            at += self._name_size
            if at > len(buffer):
                raise _truncated()
        elif kind not in (COMMIT, TREE, BLOB, TAG):
            raise corrupt(f"an object is of the unknown kind {kind}")
        self._position = at
        return offset, kind, base, self._inflate(size)

    def _inflate(self, size: int) -> bytes | Staged:
        if size > LARGE:
            path = self._scratch.new(size)
            with path.open("xb") as file:
                self._inflate_rest(decompressobj(), size, file.write)
            return Staged(path, size)
        # Nearly always the object is in the buffer in full. No more input is handed over than it
        # can take, for what is not used is copied.
        view = self._buffer[self._position : self._position + size + (size >> 8) + 64]
        inflater = decompressobj()
        try:
            data = inflater.decompress(view, size + 1)
        except INFLATE_ERRORS as error:
            raise corrupt(f"an object does not inflate: {error}") from error
        unused = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        self._position += len(view) - len(unused)
        if inflater.eof and len(data) == size:
            return data
        pieces = [data]
        self._inflate_rest(inflater, size - len(data), pieces.append)
        return b"".join(pieces)

    def _inflate_rest(
        self, inflater: Decompressor, left: int, write: Callable[[bytes], object]
    ) -> None:
        if left < 0:
            raise corrupt("an object is larger than it says")
        while not inflater.eof:
            if self._position == len(self._buffer) and not self._fill():
                raise _truncated()
            view = self._buffer[self._position : self._position + _PIECE]
            try:
                data = inflater.decompress(view, min(left + 1, _PIECE))
            except INFLATE_ERRORS as error:
                raise corrupt(f"an object does not inflate: {error}") from error
            unused = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if not data and len(unused) == len(view) and not inflater.eof:
                raise corrupt("an object does not inflate: its data lead nowhere")
            self._position += len(view) - len(unused)
            left -= len(data)
            if left < 0:
                raise corrupt("an object is larger than it says")
            if data:
                write(data)
        if left:
            raise corrupt("an object is smaller than it says")

    def _trailer(self) -> None:
        self._want(self._name_size)
        self._digest.update(self._buffer[: self._position])
        trailer = self._buffer[self._position :]
        if len(trailer) < self._name_size:
            raise _truncated()
        if trailer[: self._name_size] != self._digest.digest():
            raise corrupt("its checksum is wrong")
        # The stream is read to its end, so that the connection can be used again.
        if len(trailer) > self._name_size or any(self._chunks):
            raise corrupt("something follows its end")

    def _want(self, size: int) -> None:
        """Have this many bytes in the buffer, unless the stream ends."""
        while len(self._buffer) - self._position < size and self._fill():
            pass

    def _fill(self) -> bool:
        """Drop what is consumed and append the next chunk; false at the end of the stream."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._digest.update(memoryview(self._buffer)[: self._position])
        self._consumed += self._position
        self._buffer = self._buffer[self._position :] + chunk
        self._position = 0
        return True


def corrupt(problem: str) -> SourceRejectedError:
    """The error for a pack that cannot be right."""
    return SourceRejectedError(
        f"the repository's pack is corrupt: {problem}",
        remedy=CORRUPT_REMEDY,
    )


def _truncated() -> FetchError:
    return SourceUnreachableError(
        "the server's answer ended in the middle of the pack",
        remedy="The connection broke, or a proxy limits the size of answers; try again.",
        transient=True,
    )
