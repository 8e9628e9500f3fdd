"""What ticks there should be, found out slowly and plainly: nothing here is the operator's."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

TEN_YEARS = datetime(2021, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_NAMES = {
    "SUN": 0, "MON": 1, "TUE": 2, "WED": 3, "THU": 4, "FRI": 5, "SAT": 6,
    "JAN": 1, "FEB": 2, "MAR": 3, "APR": 4, "MAY": 5, "JUN": 6,
    "JUL": 7, "AUG": 8, "SEP": 9, "OCT": 10, "NOV": 11, "DEC": 12,
}  # fmt: skip


class Fields(NamedTuple):
    """The numbers that the fields of an expression stand for."""

    minutes: set[int]
    hours: set[int]
    days: set[int]
    months: set[int]
    weekdays: set[int]
    both_days: bool

    @classmethod
    def parse(cls, expression: str) -> "Fields":
        minute, hour, day, month, weekday = expression.split()
        return cls(
            _numbers(minute, 0, 59),
            _numbers(hour, 0, 23),
            _numbers(day, 1, 31),
            _numbers(month, 1, 12),
            {number % 7 for number in _numbers(weekday, 0, 7)},
            day.startswith("*") or weekday.startswith("*"),
        )

    def has_day(self, local: datetime) -> bool:
        found = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return local.month in self.months and (all(found) if self.both_days else any(found))

    def match(self, local: datetime) -> bool:
        return local.minute in self.minutes and local.hour in self.hours and self.has_day(local)


def _numbers(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.replace("*", f"{low}-{high}").partition("-")
        start, end = (int(_NAMES.get(word, word)) for word in (first, last or first))
        found.update(range(start, end + 1, int(step or 1)))
    return found


def minutes_that_match(
    expression: str, zone: str, start: datetime, end: datetime
) -> list[datetime]:
    """Of all the minutes of UTC after `start` up to `end`, those at which a clock shows a match."""
    fields, tz = Fields.parse(expression), ZoneInfo(zone)
    found: list[datetime] = []
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= end:
        if any(fields.has_day(near) for near in (day - _DAY, day, day + _DAY)):
            found += [
                moment
                for moment in (day + number * _MINUTE for number in range(24 * 60))
                if start < moment <= end and fields.match(moment.astimezone(tz))
            ]
        day += _DAY
    return found


def moments_of(local_times: Iterable[datetime], zone: str) -> list[datetime]:
    """The moments of local times without zone, each once, in order."""
    return sorted({_moment_of(local, ZoneInfo(zone)) for local in local_times})


def _moment_of(local: datetime, tz: ZoneInfo) -> datetime:
    """The first at which a clock shows that time; else with the offset of the day before."""
    about = local.replace(tzinfo=UTC)
    before = _offset(about - _DAY, tz)
    for offset in (before, _offset(about + _DAY, tz)):
        moment = about - offset
        if _offset(moment, tz) == offset:
            return moment
    return about - before


def _offset(moment: datetime, tz: ZoneInfo) -> timedelta:
    return moment.astimezone(tz).replace(tzinfo=UTC) - moment


@cache
def clock_changes(zone: str) -> list[datetime]:
    """The moments, in ten years, at which clocks are put forward or back."""
    tz, (start, end) = ZoneInfo(zone), TEN_YEARS
    days = [start + number * _DAY for number in range((end - start).days)]
    return [_change(day, tz) for day in days if _offset(day, tz) != _offset(day + _DAY, tz)]


def _change(day: datetime, tz: ZoneInfo) -> datetime:
    moment = day
    while _offset(moment, tz) == _offset(day, tz):
        moment += _MINUTE
    return moment


CHANGES = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "America/St_Johns", "Africa/Casablanca",
     "Pacific/Chatham", "Australia/Lord_Howe", "Antarctica/Troll", "America/Santiago"],
).flatmap(lambda zone: st.tuples(st.just(zone), st.sampled_from(clock_changes(zone))))  # fmt: skip
"""A zone, and a moment at which its clocks change."""
