"""Exact reads from pieces of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator


class Reader:
    """Reads on; never holds more than is asked for and one piece.

    Args:
        pieces: Where the bytes come from.
        ended: Makes the error for a source that ends too early.
    """

    def __init__(self, pieces: Iterator[bytes], ended: Callable[[], Exception]) -> None:
        self._pieces = pieces
        self._ended = ended
        self._piece = b""
        self._at = 0
        self.offset = 0

    def take(self, count: int) -> bytes:
        """The next bytes, exactly so many; for counts that are known to be small."""
        start, stop = self._at, self._at + count
        if stop <= len(self._piece):
            self._at = stop
            self.offset += count
            return self._piece[start:stop]
        return b"".join(self.stream(count))

    def stream(self, count: int) -> Iterator[bytes]:
        """The next bytes, exactly so many, as they come."""
        while count:
            if self._at == len(self._piece) and not self._next():
                raise self._ended()
            found = self._piece[self._at : self._at + count]
            self._at += len(found)
            self.offset += len(found)
            count -= len(found)
            yield found

    def skip(self, count: int) -> None:
        """Pass over the next bytes."""
        for _ in self.stream(count):
            pass

    def drain(self) -> None:
        """Pass over all that is left."""
        while self._next():
            pass

    def _next(self) -> bool:
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._piece, self._at = piece, 0
        return True
