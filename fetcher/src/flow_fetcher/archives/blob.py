"""One object that is read by ranges: a few of them ahead, handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from flow_fetcher.sources.parallel import later

FIRST = 4 << 20
"""How much the first request asks for: most archives of code are no larger."""
_RANGE = 4 << 20
_AHEAD = 4
_PIECE = 1 << 18


@dataclass(frozen=True)
class Blob:
    """A remote object.

    Attributes:
        url: What to call it in messages.
        name: Its name, whose ending says what it is.
        size: Of all of it.
        first: Its beginning, as far as it is known already.
        read: Returns exactly the bytes from one offset to another; called from several threads.
        ahead: How many ranges are read at the same time.
    """

    url: str
    name: str
    size: int
    first: bytes
    read: Callable[[int, int], bytes]
    ahead: int = field(default=_AHEAD)

    def pieces(self) -> Iterator[bytes]:
        """All of it, in order."""
        yield from _cut(self.first)
        if len(self.first) < self.size:
            for piece in self._ranges(len(self.first)):
                yield from _cut(piece)

    def tail(self, count: int) -> bytes:
        """The last bytes, at most so many."""
        return self.part(max(0, self.size - count), self.size)

    def part(self, start: int, stop: int) -> bytes:
        """The bytes between two offsets."""
        if stop <= len(self.first):
            return self.first[start:stop]
        return later(lambda: self.read(start, stop))()

    def _ranges(self, start: int) -> Iterator[bytes]:
        waiting: deque[Callable[[], bytes]] = deque()
        while start < self.size or waiting:
            while start < self.size and len(waiting) < self.ahead:
                stop = min(start + _RANGE, self.size)
                waiting.append(later(partial(self.read, start, stop)))
                start = stop
            yield waiting.popleft()()


def _cut(data: bytes) -> Iterator[bytes]:
    """Small pieces: what is unpacked from one lies in memory as a whole."""
    if len(data) <= _PIECE:
        yield data
        return
    view = memoryview(data)
    for start in range(0, len(data), _PIECE):
        yield bytes(view[start : start + _PIECE])
