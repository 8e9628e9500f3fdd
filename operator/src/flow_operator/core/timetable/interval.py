"""Intervals: elapsed time from an anchor, whatever clocks do."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

DEFAULT_ANCHOR = datetime(2001, 1, 1, tzinfo=UTC)
"""A Monday at midnight, so that round intervals tick at round times."""


class Every:
    """The ticks of an interval."""

    def __init__(self, seconds: int, anchor: datetime = DEFAULT_ANCHOR) -> None:
        self._seconds = seconds
        self._anchor = anchor

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the ticks later than a moment."""
        number = (moment - self._anchor) // timedelta(seconds=self._seconds) + 1
        while True:
            try:
                yield self._anchor + timedelta(seconds=number * self._seconds)
            except OverflowError:
                return
            number += 1
