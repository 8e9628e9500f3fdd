"""Intervals: elapsed time from an anchor, whatever clocks do."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DEFAULT_ANCHOR = datetime(2001, 1, 1, tzinfo=UTC)
"""A Monday at midnight, so that round intervals tick at round times."""


@dataclass(frozen=True, slots=True)
class Every:
    """The ticks of an interval."""

    seconds: int
    anchor: datetime = DEFAULT_ANCHOR

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the ticks later than a moment."""
        number = (moment - self.anchor) // timedelta(seconds=self.seconds) + 1
        while True:
            try:
                yield self.anchor + timedelta(seconds=number * self.seconds)
            except OverflowError:
                return
            number += 1
