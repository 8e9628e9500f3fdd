"""Intervals, and questions to timetables: right, and cheap however long nobody asked."""

import time
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_operator.api.v1alpha1.schedule import Schedule
from flow_operator.core.durations import format_moment, parse_duration, parse_moment
from flow_operator.core.timetable import TimetableError, latest, next_tick, timetable_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def schedule(**fields: object) -> Schedule:
    return Schedule.model_validate({"name": "x", **fields})


@pytest.mark.parametrize(
    ("interval", "wanted"),
    [
        ({"every": "15m"}, ["12:15:00", "12:30:00"]),
        ({"every": "1h30m"}, ["13:30:00", "15:00:00"]),
        ({"every": "7s", "anchor": "2026-11-23T11:59:59Z"}, ["12:00:06", "12:00:13"]),
        ({"every": "1h", "anchor": "2030-01-01T00:20:00+01:00"}, ["12:20:00", "13:20:00"]),
    ],
)
def test_interval(interval: dict[str, str], wanted: list[str]) -> None:
    """Elapsed time from an anchor, be it past or future."""
    found = timetable_of(schedule(interval=interval)).after(NOON)
    assert [f"{tick:%H:%M:%S}" for tick in islice(found, 2)] == wanted


def test_default_anchor_gives_round_times() -> None:
    """1w ticks on Mondays at midnight UTC."""
    found = next_tick(timetable_of(schedule(interval={"every": "1w"})), NOON)
    assert found == datetime(2026, 11, 30, tzinfo=UTC)


DEFINITIONS = (
    {"cron": "* * * * *"}, {"cron": "30 2 * * *", "timeZone": "Europe/Berlin"},
    {"cron": "0 0 1 1 *"}, {"cron": "* 3 * * *"}, {"interval": {"every": "1s"}},
    {"interval": {"every": "9d"}}, {"rrule": "FREQ=MONTHLY;BYDAY=1MO"},
)  # fmt: skip


@given(
    definition=st.sampled_from(DEFINITIONS),
    back=st.integers(0, 20_000),
    seconds=st.integers(0, 10**7),
)
@settings(max_examples=150, deadline=None)
def test_latest_is_the_last_one(definition: dict[str, object], back: int, seconds: int) -> None:
    """It is the last of all ticks between the two moments."""
    timetable, until = timetable_of(schedule(**definition)), NOON + timedelta(seconds=seconds)
    since = until - timedelta(seconds=back)
    every = list(takewhile(lambda tick: tick <= until, timetable.after(since)))
    assert latest(timetable, since, until) == (every[-1] if every else None)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=str)
def test_a_year_that_nobody_saw_costs_little(definition: dict[str, object]) -> None:
    """The last tick of a year, and the first, are found in well under a second."""
    timetable = timetable_of(schedule(**definition))
    started = time.perf_counter()
    assert latest(timetable, NOON - timedelta(days=370), NOON)
    next_tick(timetable, NOON - timedelta(days=365))
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({"cron": "0 99 * * *"}, "cron: '0 99"),
        ({"cron": "0 3 * * *", "timeZone": "Europe/Berlinn"}, "timeZone: .*Berlinn.*IANA"),
        ({"cron": "0 3 * * *", "timeZone": "localtime"}, "timeZone: "),
        ({"cron": "0 3 * * *", "timeZone": "Europe"}, "timeZone: "),
        ({"interval": {"every": "1h", "anchor": "2026-02-30T00:00:00Z"}}, "interval: "),
        ({"rrule": "FREQ=DAILY;COUNT=1"}, "rrule: COUNT"),
    ],
)
def test_errors_name_the_field(definition: dict[str, object], words: str) -> None:
    """What a schema lets through is refused with the field and the remedy."""
    with pytest.raises(TimetableError, match=words):
        timetable_of(schedule(**definition))


def test_durations_and_moments() -> None:
    """They are read as they are written."""
    assert parse_duration("1w2d3h4m5s") == 788_645
    assert format_moment(parse_moment("2026-11-23T13:00:00+01:00")) == "2026-11-23T12:00:00Z"
    for text in ("", "5", "5x", "-5s", "5 s"):
        with pytest.raises(ValueError, match="no duration"):
            parse_duration(text)
    with pytest.raises(ValueError, match="no time zone"):
        parse_moment("2026-11-23T13:00:00")
