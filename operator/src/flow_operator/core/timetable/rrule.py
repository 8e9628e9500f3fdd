"""Recurrence rules of RFC 5545, searched over a bounded span: no rule can keep the operator busy.

A general library walks on to the year 9999 for a rule that has no date. This one covers what a
schedule needs, period by period, and gives up when there has been nothing for years.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import product

from flow_operator.core.timetable.zone import to_moment, to_moments

DEFAULT_START = datetime(2001, 1, 1)  # noqa: DTZ001 - local time of the schedule's zone
"""A Monday at midnight, the first of a month and of a year."""

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_BY_DAY = re.compile(rf"([+-]?[1-9][0-9]?)?({'|'.join(_DAYS)})")
_SPAN_DAYS = {"HOURLY": 1500, "DAILY": 1500, "WEEKLY": 4000, "MONTHLY": 15000, "YEARLY": 15000}
"""For how many days after the last tick the next one is looked for."""
_LIMITS = {
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (1, 31),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSECOND": (0, 59),
    "BYSETPOS": (1, 366),
}
_KNOWN = frozenset({*_LIMITS, "FREQ", "INTERVAL", "UNTIL", "WKST", "BYDAY"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """The ticks of one rule in one time zone."""

    zone: tzinfo
    start: datetime
    frequency: str
    interval: int
    until: datetime | None
    week_start: int
    months: frozenset[int]
    month_days: frozenset[int]
    week_days: frozenset[tuple[int, int]]
    """Weekday, Monday being 0, and which one of its month or year; 0: every one."""
    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    positions: tuple[int, ...]

    @classmethod
    def parse(cls, text: str, zone: tzinfo) -> "Recurrence":
        """Read a rule, with the line DTSTART before it or not.

        Raises:
            ValueError: The rule cannot be followed. The message says why, and what to write.
        """
        head, _, body = text.rpartition("\n")
        start = _local(head.removeprefix("DTSTART:")) if head else DEFAULT_START
        parts: dict[str, str] = {}
        for part in body.removeprefix("RRULE:").split(";"):
            key, _, value = part.partition("=")
            if key in parts:
                raise ValueError(f"{key} is there twice: give it once")
            parts[key] = value
        if unknown := sorted(parts.keys() - _KNOWN):
            raise ValueError(
                f"{', '.join(unknown)} cannot be followed: use {', '.join(sorted(_KNOWN))}"
            )
        frequency, numbers = parts["FREQ"], {key: _numbers(parts, key) for key in _LIMITS}
        week_days = frozenset(_week_day(word) for word in _words(parts, "BYDAY"))
        if any(nth for _, nth in week_days) and frequency not in ("MONTHLY", "YEARLY"):
            raise ValueError("BYDAY takes numbers, as in 1MO, with FREQ=MONTHLY and YEARLY alone")
        if numbers["BYMONTHDAY"] and frequency == "WEEKLY":
            raise ValueError("BYMONTHDAY does not go with FREQ=WEEKLY: use FREQ=DAILY")
        if numbers["BYSETPOS"] and frequency == "HOURLY":
            raise ValueError("BYSETPOS does not go with FREQ=HOURLY: use FREQ=DAILY with BYHOUR")
        interval = parts.get("INTERVAL", "1")
        if not interval.isdigit() or not 1 <= int(interval) <= 1000:
            raise ValueError("INTERVAL must be a number from 1 to 1000")
        week_start = parts.get("WKST", "MO")
        if week_start not in _DAYS:
            raise ValueError(f"WKST must be one of {', '.join(_DAYS)}")
        return cls(
            zone=zone,
            start=start,
            frequency=frequency,
            interval=int(interval),
            until=_until(parts["UNTIL"], zone) if "UNTIL" in parts else None,
            week_start=_DAYS.index(week_start),
            months=frozenset(numbers["BYMONTH"]),
            month_days=frozenset(numbers["BYMONTHDAY"]),
            week_days=week_days,
            hours=numbers["BYHOUR"] or (() if frequency == "HOURLY" else (start.hour,)),
            minutes=numbers["BYMINUTE"] or (start.minute,),
            seconds=numbers["BYSECOND"] or (start.second,),
            positions=numbers["BYSETPOS"],
        )

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the ticks later than a moment; stop when there is none for years."""
        last = moment
        for found in to_moments(self._local_times(moment), self.zone):
            if self.until and found > self.until:
                return
            if found > last:
                yield found
                last = found

    def _local_times(self, moment: datetime) -> Iterator[datetime]:
        """Yield the local times of the rule, from some before a moment on."""
        span = timedelta(days=_SPAN_DAYS[self.frequency])
        # A local time is never more than a day away from UTC, nor a gap longer than a day.
        seen = max(moment.astimezone(UTC).replace(tzinfo=None) - timedelta(days=2), self.start)
        for period, candidates in self._periods(seen.date()):
            if period - seen.date() > span:
                return
            for local in candidates:
                if local >= self.start:
                    yield local
                    seen = max(seen, local)

    def _periods(self, day: date) -> Iterator[tuple[date, list[datetime]]]:
        """Yield the periods of the rule from the one before a day or around it: begin and times."""
        first = self._begin(self.start.date())
        step = 1 if self.frequency == "HOURLY" else self.interval  # its periods are days
        number = self._distance(first, self._begin(day)) // step
        while True:
            try:
                begin = self._step(first, number * step)
                days = [found for found in self._days(begin) if self._fits(found)]
            except (OverflowError, ValueError):
                return
            yield begin, self._times(days)
            number += 1

    def _begin(self, day: date) -> date:
        if self.frequency == "WEEKLY":
            return day - timedelta(days=(day.weekday() - self.week_start) % 7)
        if self.frequency == "MONTHLY":
            return day.replace(day=1)
        return day.replace(month=1, day=1) if self.frequency == "YEARLY" else day

    def _distance(self, first: date, day: date) -> int:
        match self.frequency:
            case "WEEKLY":
                return (day - first).days // 7
            case "MONTHLY":
                return (day.year - first.year) * 12 + day.month - first.month
            case "YEARLY":
                return day.year - first.year
        return (day - first).days

    def _step(self, first: date, units: int) -> date:
        match self.frequency:
            case "WEEKLY":
                return first + timedelta(weeks=units)
            case "MONTHLY":
                years, month = divmod(first.month - 1 + units, 12)
                return date(first.year + years, month + 1, 1)
            case "YEARLY":
                return date(first.year + units, 1, 1)
        return first + timedelta(days=units)

    def _days(self, begin: date) -> list[date]:
        count = {"WEEKLY": 7, "MONTHLY": calendar.monthrange(begin.year, begin.month)[1]}.get(
            self.frequency, 1
        )
        if self.frequency == "YEARLY":
            count = 366 if calendar.isleap(begin.year) else 365
        return [begin + timedelta(days=number) for number in range(count)]

    def _fits(self, day: date) -> bool:
        if self.months and day.month not in self.months:
            return False
        length = calendar.monthrange(day.year, day.month)[1]
        if self.month_days and not self.month_days & {day.day, day.day - length - 1}:
            return False
        if self.week_days:
            return any(
                weekday == day.weekday() and (nth == 0 or nth in self._places(day, length))
                for weekday, nth in self.week_days
            )
        return self.month_days != frozenset() or self._fits_start(day)

    def _fits_start(self, day: date) -> bool:
        """Whether a day is the one that a rule without days means: that of its start."""
        match self.frequency:
            case "WEEKLY":
                return day.weekday() == self.start.weekday()
            case "MONTHLY":
                return day.day == self.start.day
            case "YEARLY":
                return day.day == self.start.day and (
                    bool(self.months) or day.month == self.start.month
                )
        return True

    def _places(self, day: date, length: int) -> tuple[int, int]:
        """Return which of its weekday a day is in its month or year, from both ends."""
        number, size = day.day, length
        if self.frequency == "YEARLY" and not self.months:
            number, size = day.timetuple().tm_yday, 365 + calendar.isleap(day.year)
        return (number - 1) // 7 + 1, -((size - number) // 7 + 1)

    def _times(self, days: list[date]) -> list[datetime]:
        found = [
            datetime.combine(day, time(hour, minute, second))
            for day in days
            for hour, minute, second in product(self._hours(day), self.minutes, self.seconds)
        ]
        if not self.positions:
            return found
        size = len(found)
        picked = {place - 1 if place > 0 else size + place for place in self.positions}
        return [found[place] for place in sorted(picked) if 0 <= place < size]

    def _hours(self, day: date) -> tuple[int, ...]:
        if self.frequency != "HOURLY":
            return self.hours
        offset = (day - self.start.date()).days * 24 - self.start.hour
        return tuple(
            hour for hour in self.hours or range(24) if (offset + hour) % self.interval == 0
        )


def _words(parts: dict[str, str], key: str) -> list[str]:
    return parts[key].split(",") if key in parts else []


def _numbers(parts: dict[str, str], key: str) -> tuple[int, ...]:
    low, high = _LIMITS[key]
    signed = key in ("BYMONTHDAY", "BYSETPOS")
    found = set()
    for word in _words(parts, key):
        number = int(word) if re.fullmatch(r"[+-]?[0-9]{1,3}", word) else None
        if number is None or not low <= (abs(number) if signed else number) <= high:
            raise ValueError(f"{key} must be numbers from {low} to {high}, not {word!r}")
        found.add(number)
    return tuple(sorted(found))


def _week_day(word: str) -> tuple[int, int]:
    found = _BY_DAY.fullmatch(word)
    if not found:
        raise ValueError(f"BYDAY must be days such as MO, 1MO or -1FR, not {word!r}")
    return _DAYS.index(found[2]), int(found[1] or 0)


def _local(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S")  # noqa: DTZ007 - local time
    except ValueError as error:
        raise ValueError(f"{text} is no time: write it as 20260101T090000") from error


def _until(text: str, zone: tzinfo) -> datetime:
    """Return the last moment of a rule; a date is its midnight, a time without Z is local."""
    if text.endswith("Z"):
        return _local(text[:-1]).replace(tzinfo=UTC)
    return to_moment(_local(text if "T" in text else f"{text}T000000"), zone)
