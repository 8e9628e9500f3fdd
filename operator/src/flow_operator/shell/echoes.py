"""Keeps the watches from telling this process what it has just written itself.

Most of what changes about a run is written by the operator, and known from the answer. Its echo
would cost more than the write: kopf takes a millisecond for each event.
"""

import re
from collections import deque

_REMEMBERED = 20_000
_VERSION = re.compile(rb'"resourceVersion":"([0-9]+)"')
"""The first of a line is the object's own: metadata comes before all that users fill in but labels
and annotations, and in those a quote is escaped."""


class Echoes:
    """The versions of objects that this process has made, as the API server answered."""

    def __init__(self) -> None:
        self._expected: set[int] = set()
        self._order: deque[int] = deque()

    def expect(self, version: int) -> None:
        """Take note that a write was answered with that resourceVersion."""
        self._expected.add(version)
        self._order.append(version)
        if len(self._order) > _REMEMBERED:
            self._expected.discard(self._order.popleft())

    def is_news(self, line: bytes) -> bool:
        """Tell whether a line of a watch says what is not known; may be asked in any thread.

        The answer to a write may be behind its echo: then that is news, which does no harm.
        """
        if not self._expected or line.startswith(b'{"type":"DELETED"'):
            return True
        found = _VERSION.search(line)
        return found is None or int(found[1]) not in self._expected
