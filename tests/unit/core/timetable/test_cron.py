"""Cron expressions tick when they should: against another implementation, and by DST tables."""
# ruff: noqa: DTZ001 - local times without zone are what another implementation computes

import re
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_operator.core.timetable.cron import Cron
from flow_operator.core.timetable.zone import find_zone
from tests.unit.core.timetable.oracles import CHANGES, TEN_YEARS, minutes_that_match


def ticks(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    found = Cron.parse(expression, find_zone(zone)).after(start)
    return list(takewhile(lambda tick: tick <= end, found))


def other(expression: str, start: datetime) -> croniter:
    """The same by croniter, which writes the last Friday L5 and leaves and/or to its caller."""
    _, _, day, _, weekday = expression.split()
    day_or = not (day.startswith("*") or weekday.startswith("*"))
    return croniter(re.sub(r"(\d)L", r"L\1", expression), start, day_or=day_or)


def oracle(expression: str, start: datetime, end: datetime) -> list[datetime]:
    """The ticks by croniter, as local times without zone."""
    found = other(expression, start)
    return list(takewhile(lambda tick: tick <= end, iter(lambda: found.get_next(datetime), None)))


EXPRESSIONS = (
    "0 3 * * *", "30 2 * * *", "17 4 1 * *", "0 0 29 2 *", "0 12 * * MON-FRI", "5 0 L * *",
    "15 14 1,15 * 5", "0 22 * * 5#2", "0 6 * * 5L", "0 8 1-7 * 1", "0 */6 * * *", "45 23 31 * *",
    "0 9 * JAN,JUL MON", "59 23 31 12 *", "0 0 * * 7",
)  # fmt: skip
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
    "America/St_Johns", "Africa/Casablanca", "Pacific/Auckland",
)  # fmt: skip


def moments_by_croniter(expression: str, zone: str) -> list[datetime]:
    """Ten years by croniter in local time, put onto the clock by the rules of DST in the docs."""
    tz = ZoneInfo(zone)
    start, end = (moment.astimezone(tz).replace(tzinfo=None) for moment in TEN_YEARS)
    found: list[datetime] = []
    for local in oracle(expression, start, end):
        aware = local.replace(tzinfo=tz)
        moment = aware.astimezone(UTC)
        if moment.astimezone(tz).replace(tzinfo=None) != local:  # skipped: right after the gap
            moment = end_of_gap(moment, tz)
        if not found or moment > found[-1]:
            found.append(moment)
    return found


def end_of_gap(moment: datetime, tz: ZoneInfo) -> datetime:
    offset = (moment - timedelta(hours=3)).astimezone(tz).utcoffset()
    at = (moment - timedelta(hours=3)).replace(minute=0)
    while at.astimezone(tz).utcoffset() == offset:
        at += timedelta(minutes=1)
    return at


@pytest.mark.parametrize("zone", ZONES)
def test_ten_years_agree_with_another_implementation(zone: str) -> None:
    """Fixed times of a day, in ten years of several zones, with all their DST changes."""
    for expression in EXPRESSIONS:
        if expression.split()[1].startswith("*"):
            continue  # elapsed time: tested below
        assert ticks(expression, zone, *TEN_YEARS) == moments_by_croniter(expression, zone), (
            expression
        )


FIELD = st.one_of(st.just("*"), st.integers(0, 59).map(str), st.just("*/7"), st.just("3-40/9"))


@given(
    minute=FIELD,
    hour=st.sampled_from(["*", "3", "*/5", "2-20/3", "0,23"]),
    day=st.sampled_from(["*", "1", "13", "L", "1-7", "31"]),
    month=st.sampled_from(["*", "2", "FEB-APR", "12"]),
    weekday=st.sampled_from(["*", "1", "MON-FRI", "5#2", "5L", "0"]),
    start=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
)
@settings(max_examples=300, deadline=None)
def test_any_expression_agrees_with_another_implementation(
    minute: str, hour: str, day: str, month: str, weekday: str, start: datetime
) -> None:
    """In UTC, where there is only one opinion on what an expression means."""
    expression = f"{minute} {hour} {day} {month} {weekday}"
    start = start.replace(microsecond=0)
    try:
        mine = Cron.parse(expression, UTC)
    except ValueError:
        return  # such as the 31st of February alone
    found = mine.after(start.replace(tzinfo=UTC))
    theirs = other(expression, start)
    if (day != "*" and weekday in ("5#2", "5L")) or (day, month) == ("31", "2"):
        return  # may never come, or rarely
    for _ in range(5):
        assert next(found).replace(tzinfo=None) == theirs.get_next(datetime)


DST = [
    # Berlin: 02:00 becomes 03:00 on 2026-03-29, and 03:00 becomes 02:00 on 2026-10-25.
    ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T01:00", "03-30T00:30"]),
    ("0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T01:00", "03-30T00:00"]),
    ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T01:00", "03-30T01:00"]),
    ("30 1 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29T00:30", "03-29T23:30"]),
    ("0 * * * *", "Europe/Berlin", "2026-03-28T23:30", ["03-29T00:00", "03-29T01:00",
                                                        "03-29T02:00"]),
    ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-30T00:00", "03-30T00:30"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["10-25T00:30", "10-26T01:30"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45", ["10-26T01:30"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10", ["10-26T01:30"]),
    ("0 * * * *", "Europe/Berlin", "2026-10-24T23:30", ["10-25T00:00", "10-25T01:00",
                                                        "10-25T02:00"]),
    ("*/30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["10-25T00:00", "10-25T00:30",
                                                           "10-25T01:00", "10-25T01:30"]),
    # Lord Howe: half an hour, 02:00 becomes 02:30 on 2026-10-04; back on 2026-04-05.
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", ["10-03T15:30", "10-04T15:15"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00", ["04-04T14:45", "04-05T15:15"]),
    ("15 */2 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", ["04-04T13:15", "04-04T15:45",
                                                                 "04-04T17:45"]),
    ("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:30", ["04-04T14:45", "04-04T15:15",
                                                               "04-04T16:15"]),
    ("15 */3 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["10-03T13:45", "10-03T16:15"]),
    # Chatham: 03:45 becomes 02:45 on 2026-04-05.
    ("45 */3 * * *", "Pacific/Chatham", "2026-04-04T10:30", ["04-04T11:00", "04-04T15:00",
                                                             "04-04T18:00"]),
    # Cairo: 00:00 becomes 01:00 on 2026-04-24.
    ("*/30 0 24 * *", "Africa/Cairo", "2026-04-23T12:00", ["05-23T21:00", "05-23T21:30"]),
    ("*/30 1 24 * *", "Africa/Cairo", "2026-04-23T12:00", ["04-23T22:00", "04-23T22:30",
                                                           "05-23T22:00"]),
    # Troll: two hours, 03:00 becomes 01:00 on 2026-10-25.
    ("0 */2 * * *", "Antarctica/Troll", "2026-10-24T22:30", ["10-25T00:00", "10-25T02:00"]),
    ("30 * * * *", "Antarctica/Troll", "2026-10-24T23:00", ["10-24T23:30", "10-25T00:30",
                                                            "10-25T01:30", "10-25T02:30"]),
    # St John's: 02:00 becomes 03:00 on 2026-03-08. On 2010-11-07 00:01 became 23:01 of the 6th.
    ("30 2 * * *", "America/St_Johns", "2026-03-07T12:00", ["03-08T05:30", "03-09T05:00"]),
    ("0 */1 * * SUN", "America/St_Johns", "2010-11-07T01:00", ["11-07T02:30", "11-07T03:30",
                                                               "11-07T04:30"]),
    # Apia had no 2011-12-30 at all.
    ("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00", ["12-29T19:00", "12-30T10:00",
                                                                "12-30T19:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "zone", "start", "wanted"), DST)
def test_clocks_that_change(expression: str, zone: str, start: str, wanted: list[str]) -> None:
    """Skipped times tick right after the gap, repeated ones once; elapsed time goes on."""
    begin = datetime.fromisoformat(f"{start}+00:00")
    found = Cron.parse(expression, find_zone(zone)).after(begin)
    got = [next(found).strftime("%m-%dT%H:%M") for _ in wanted]
    assert got == wanted


MINUTES = st.sampled_from(["0", "15", "45", "0,30", "10-50/20"])
HOURS = st.sampled_from(["0", "2", "1,2,3", "0-23/2", "23"])
STAR_MINUTES = st.sampled_from(["*", "*/7", "*/20", "*/30"])
STAR_HOURS = st.sampled_from(["*", "*/2", "*/3", "*/5"])
DAYS = st.sampled_from(["* * *", "* * *", "* * SUN", "1-7 * *", "1-7 * SUN"])
FIXED = st.tuples(MINUTES, HOURS, DAYS).map(" ".join)
ELAPSED = st.one_of(
    st.tuples(STAR_MINUTES, HOURS, DAYS), st.tuples(MINUTES | STAR_MINUTES, STAR_HOURS, DAYS)
).map(" ".join)

SECONDS = st.integers(-14_400, 14_400) | st.integers(-86_400, 86_400)


@given(expression=FIXED | ELAPSED, change=CHANGES, seconds=SECONDS)
@settings(max_examples=300, deadline=None)
def test_ticks_do_not_depend_on_when_they_are_asked_for(
    expression: str, change: tuple[str, datetime], seconds: int
) -> None:
    """Asked later, a timetable has the same ticks, less those that are past."""
    zone, moment = change
    begin, end = moment - timedelta(days=2), moment + timedelta(days=2)
    everything = ticks(expression, zone, begin, end)
    later = moment + timedelta(seconds=seconds)
    assert ticks(expression, zone, later, end) == [tick for tick in everything if tick > later]
    assert all(first < second for first, second in pairwise(everything))


@given(expression=ELAPSED, change=CHANGES, seconds=SECONDS)
@settings(max_examples=150, deadline=None)
def test_elapsed_time_is_all_minutes_that_match(
    expression: str, change: tuple[str, datetime], seconds: int
) -> None:
    """By elapsed time it ticks at each minute at which a clock shows what it says."""
    zone, moment = change
    start, end = moment + timedelta(seconds=seconds), moment + timedelta(days=2)
    assert ticks(expression, zone, start, end) == minutes_that_match(expression, zone, start, end)


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * *", "60 * * * *", "0 24 * * *", "0 0 31 2 *", "0 0 * * MONDAY",
     "5-1 * * * *", "*/0 * * * *", "0 0 * * 5#6", "@every 5m", "@reboot", "a b c d e"],
)  # fmt: skip
def test_no_expression(expression: str) -> None:
    """What is none is refused."""
    with pytest.raises(ValueError, match=r"."):
        Cron.parse(expression, UTC)


@pytest.mark.parametrize(
    ("macro", "fields"),
    [("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"),
     ("@weekly", "0 0 * * 0"), ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *"),
     ("@annually", "0 0 1 1 *"), ("0 3 ? * *", "0 3 * * *")],
)  # fmt: skip
def test_macros(macro: str, fields: str) -> None:
    """A macro is short for five fields."""
    end = TEN_YEARS[0] + timedelta(days=800)
    assert ticks(macro, "UTC", TEN_YEARS[0], end) == ticks(fields, "UTC", TEN_YEARS[0], end)


@pytest.mark.parametrize(
    ("expression", "zone"),
    [("*/30 2 * 3 0L", "Europe/Berlin"), ("*/30 2 * 3 SUN#2", "America/New_York")],
)
def test_times_that_are_always_skipped_cost_little(expression: str, zone: str) -> None:
    """By elapsed time there is no such tick, and that is found out at once."""
    started = time.perf_counter()
    cron = Cron.parse(expression, find_zone(zone))
    assert list(cron.after(datetime(2026, 1, 1, tzinfo=UTC))) == []
    assert time.perf_counter() - started < 0.5
