"""Cron expressions. Clocks that are put forward or back are dealt with as Debian's cron does."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from cronsim import CronSim, CronSimError

from flow_operator.core.timetable.zone import local_before, to_moments

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class Cron:
    """The ticks of one expression in one time zone.

    A time that the clocks skip ticks right after the gap, and one that they repeat ticks the first
    time. An expression whose minute or hour begins with `*` goes by elapsed time: it ticks at every
    minute that matches on the clock, in a repeated hour both times, and has nothing to make up for
    in a gap.
    """

    expression: str
    zone: tzinfo

    @classmethod
    def parse(cls, text: str, zone: tzinfo) -> "Cron":
        """Read an expression.

        Raises:
            ValueError: There is no such expression.
        """
        expression = _MACROS.get(text.strip(), text).replace("?", "*")
        if len(expression.split()) != 5:
            raise ValueError("it must have five fields")
        try:
            CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(str(error).lower()) from error
        return cls(expression, zone)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the ticks later than a moment."""
        last = moment
        # Where clocks are put back the search begins early; what it finds there is past.
        for found in self._search(moment):
            if found > last:
                yield found
                last = found

    def _search(self, moment: datetime) -> Iterator[datetime]:
        minute, hour, *_ = self.expression.split()
        if not minute.startswith("*") and not hour.startswith("*"):
            found = CronSim(self.expression, moment.astimezone(self.zone))
            return (tick.astimezone(UTC) for tick in found)
        # CronSim gets no zone: it would step by whole hours and to midnights, past what there is
        # where clocks change by half an hour or at midnight.
        local_times = CronSim(self.expression, local_before(moment, self.zone))
        return to_moments(local_times, self.zone, elapsed=True)
