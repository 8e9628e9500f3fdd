"""Keeps the watches from telling this process what it has just written itself.

Most of what changes about a run is written by the operator, and known from the answer. Its echo
would be parsed and decided on once more.
"""

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count

_PATIENCE = 0.25
"""For how many seconds an answer is waited for. An echo that counts as news does no harm."""
_PAUSE = 0.01
_REMEMBERED = 5_000
"""How many answers: what a busy operator writes in ten seconds. A watch is not that late."""
_VERSION = re.compile(rb'"resourceVersion":"([0-9]+)"')
"""The first of a line is the object's own: metadata comes before all that users fill in but labels
and annotations, and in those a quote is escaped."""


class Echoes:
    """The versions of objects that this process has made, as the API server answered."""

    def __init__(self) -> None:
        self._expected: set[int] = set()
        self._order: deque[int] = deque()
        self._tokens = count()
        self._under_way: dict[str, set[int]] = {}

    @contextlib.contextmanager
    def writing(self, plural: str) -> Iterator[None]:
        """Keep in mind that an object of that kind is being written."""
        token, under_way = next(self._tokens), self._under_way.setdefault(plural, set())
        under_way.add(token)
        try:
            yield
        finally:
            under_way.discard(token)

    def expect(self, version: int) -> None:
        """Take note that a write was answered with that resourceVersion."""
        self._expected.add(version)
        self._order.append(version)
        if len(self._order) > _REMEMBERED:
            self._expected.discard(self._order.popleft())

    def is_news(self, line: bytes) -> bool:
        """Tell whether a line of a watch says what is not known; may be asked in any thread."""
        if not self._expected or line.startswith(b'{"type":"DELETED"'):
            return True
        found = _VERSION.search(line)
        return found is None or int(found[1]) not in self._expected

    async def news(self, plural: str, lines: Iterable[bytes]) -> list[bytes]:
        """Return the lines of a watch of that kind that are news; may be asked in any thread.

        Half of the echoes are here before the answers to their writes, and must not count as news.
        """
        found = [line for line in lines if self.is_news(line)]
        if found:
            await self.answers(plural)
        return [line for line in found if self.is_news(line)]

    async def answers(self, plural: str) -> None:
        """Wait for the writes of that kind that are under way; may be called in any thread."""
        under_way = self._under_way.get(plural, set())
        mine, end = under_way.copy(), time.monotonic() + _PATIENCE
        while not mine.isdisjoint(under_way) and time.monotonic() < end:  # noqa: ASYNC110  threads
            await asyncio.sleep(_PAUSE)
