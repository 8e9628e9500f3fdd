"""Cron expressions. Clocks that are put forward or back are dealt with as Debian's cron does."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from cronsim import CronSim, CronSimError

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
    time. An expression whose minute or hour begins with `*` goes by elapsed time: it ticks in both
    of the repeated hours, and there is nothing to make up for in a gap.
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
        # In a repeated hour the search may begin an hour early; what it finds there is past.
        for tick in CronSim(self.expression, moment.astimezone(self.zone)):
            found = tick.astimezone(UTC)
            if found > last:
                yield found
                last = found
