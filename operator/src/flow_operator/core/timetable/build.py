"""From a schedule's definition to its timetable, or to what is wrong with it."""

from functools import lru_cache

from flow_operator.api.v1alpha1.schedule import Schedule
from flow_operator.core.durations import parse_duration, parse_moment
from flow_operator.core.timetable.cron import Cron
from flow_operator.core.timetable.interval import DEFAULT_ANCHOR, Every
from flow_operator.core.timetable.rrule import Recurrence
from flow_operator.core.timetable.zone import Timetable, find_zone


class TimetableError(ValueError):
    """A schedule has no timetable. The message begins with the field and ends with the remedy."""


def timetable_of(schedule: Schedule) -> Timetable:
    """Return the timetable of a schedule.

    Raises:
        TimetableError: Its definition cannot be followed.
    """
    interval = schedule.interval
    return _build(
        schedule.cron,
        schedule.rrule,
        interval.every if interval else None,
        interval.anchor if interval else None,
        schedule.time_zone,
    )


@lru_cache(maxsize=4096)
def _build(
    cron: str | None,
    rrule: str | None,
    every: str | None,
    anchor: str | None,
    time_zone: str | None,
) -> Timetable:
    try:
        zone = find_zone(time_zone)
    except ValueError as error:
        raise TimetableError(
            f"timeZone: {error}. Use a name of the IANA database, such as Europe/Berlin"
        ) from error
    if cron is not None:
        try:
            return Cron.parse(cron, zone)
        except ValueError as error:
            raise TimetableError(
                f"cron: {cron!r} cannot be followed: {error}. Write minute, hour, day of month, "
                "month, day of week, such as '0 3 * * MON-FRI'"
            ) from error
    if rrule is not None:
        try:
            return Recurrence.parse(rrule, zone)
        except ValueError as error:
            raise TimetableError(f"rrule: {error}") from error
    if every is not None:
        try:
            start = parse_moment(anchor) if anchor else DEFAULT_ANCHOR
            return Every(parse_duration(every), start)
        except ValueError as error:
            raise TimetableError(f"interval: {error}") from error
    raise TimetableError("give it one of cron, interval and rrule")
