"""Recurrence rules tick as dateutil's do, and none of them keeps the operator busy."""
# ruff: noqa: DTZ001 - local times without zone are what another implementation computes

import time
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_operator.core.timetable.rrule import DEFAULT_START, Recurrence
from flow_operator.core.timetable.zone import find_zone
from tests.unit.core.timetable.oracles import CHANGES, moments_of

RULES = (
    "FREQ=HOURLY", "FREQ=HOURLY;INTERVAL=7", "FREQ=HOURLY;BYHOUR=8,9,17;BYDAY=MO,FR",
    "FREQ=HOURLY;BYMINUTE=0,30", "FREQ=DAILY", "FREQ=DAILY;INTERVAL=10",
    "FREQ=DAILY;BYMONTH=1;BYDAY=SU", "FREQ=DAILY;BYHOUR=9,12;BYMINUTE=15",
    "FREQ=DAILY;BYHOUR=9,12,18;BYSETPOS=-1", "FREQ=DAILY;BYMONTHDAY=-1", "FREQ=WEEKLY",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYHOUR=9", "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,SU",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU", "FREQ=WEEKLY;BYDAY=MO,TU;BYSETPOS=2", "FREQ=MONTHLY",
    "FREQ=MONTHLY;BYDAY=1FR", "FREQ=MONTHLY;BYDAY=-2MO", "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=31",
    "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=MONTHLY;BYMONTH=6,7;BYMONTHDAY=-3,2", "FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=1;BYDAY=SU",
    "FREQ=YEARLY;BYDAY=20MO", "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "FREQ=YEARLY;BYMONTHDAY=1", "FREQ=YEARLY;BYMONTH=3,9",
    "FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO", "FREQ=DAILY;UNTIL=20270301T000000Z",
    "FREQ=YEARLY;BYDAY=-1FR",
)  # fmt: skip
STARTS = (
    DEFAULT_START, datetime(2026, 1, 31, 9, 30), datetime(2024, 2, 29), datetime(2025, 8, 13, 23)
)  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@given(start=st.sampled_from(STARTS), days=st.integers(0, 3000), seconds=st.integers(0, 86_399))
@settings(max_examples=8, deadline=None)
def test_agrees_with_another_implementation(
    rule: str, start: datetime, days: int, seconds: int
) -> None:
    """The next ticks after any moment are those of dateutil."""
    moment = datetime(2024, 1, 1) + timedelta(days=days, seconds=seconds)
    other = rrulestr(rule.replace("T000000Z", "T000000"), dtstart=start)
    wanted = list(islice(other.xafter(moment, inc=False), 6))
    text = f"DTSTART:{start:%Y%m%dT%H%M%S}\nRRULE:{rule}"
    mine = Recurrence.parse(text, UTC).after(moment.replace(tzinfo=UTC))
    got = [tick.replace(tzinfo=None) for tick in islice(mine, 6)]
    if "UNTIL" in rule:
        assert got == wanted[: len(got)] or not wanted
        assert len(got) == len(wanted)
    else:
        assert got == wanted[: len(got)]
        assert got


@pytest.mark.parametrize(
    "rule",
    ["FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=31",
     "FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1", "FREQ=YEARLY;BYMONTH=4;BYMONTHDAY=31",
     "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2", "FREQ=DAILY;UNTIL=19990101T000000Z"],
)  # fmt: skip
def test_rule_that_never_comes_costs_little(rule: str) -> None:
    """A rule without a date has no tick, and that is found out at once."""
    started = time.perf_counter()
    found = list(Recurrence.parse(rule, UTC).after(datetime(2026, 1, 1, tzinfo=UTC)))
    assert found == []
    assert time.perf_counter() - started < 0.5


def test_rule_of_times_that_are_skipped_costs_little() -> None:
    """All that it says are in the gap, year after year: each is a tick after it."""
    body = ";".join(f"BY{unit}={','.join(map(str, range(60)))}" for unit in ("MINUTE", "SECOND"))
    text = f"FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;{body}"
    rule = Recurrence.parse(text, find_zone("Europe/Berlin"))
    started = time.perf_counter()
    found = list(islice(rule.after(datetime(2026, 1, 1, tzinfo=UTC)), 2))
    assert [f"{tick:%Y-%m-%dT%H:%M:%S}" for tick in found] == [
        "2026-03-29T01:00:00", "2026-03-29T01:00:01",
    ]  # fmt: skip
    assert time.perf_counter() - started < 0.5


def test_clocks_that_change() -> None:
    """A skipped time is as long after the gap as it was into it, a repeated one is the first."""
    berlin = find_zone("Europe/Berlin")
    rule = Recurrence.parse("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", berlin)
    spring = list(islice(rule.after(datetime(2026, 3, 28, 12, tzinfo=UTC)), 2))
    autumn = list(islice(rule.after(datetime(2026, 10, 24, 12, tzinfo=UTC)), 2))
    assert [f"{tick:%dT%H:%M}" for tick in spring] == ["29T01:30", "30T00:30"]
    assert [f"{tick:%dT%H:%M}" for tick in autumn] == ["25T00:30", "26T01:30"]


@pytest.mark.parametrize(
    ("rule", "zone", "start", "wanted"),
    [
        # Lord Howe: 02:00 becomes 02:30 on 2026-10-04, so that 02:20 is at 02:50.
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=20,40", "Australia/Lord_Howe", "2026-10-03T00:00",
         ["04T02:40", "04T02:50", "05T02:20"]),
        ("FREQ=HOURLY;BYMINUTE=20,40", "Australia/Lord_Howe", "2026-10-03T15:00",
         ["04T01:40", "04T02:40", "04T02:50", "04T03:20"]),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=20,40;UNTIL=20261004T024500", "Australia/Lord_Howe",
         "2026-10-03T00:00", ["04T02:40"]),
        # Troll: 01:00 becomes 03:00 on 2026-03-29, so that 02:00 is at 04:00.
        ("FREQ=DAILY;BYHOUR=2,3", "Antarctica/Troll", "2026-03-28T12:00",
         ["29T03:00", "29T04:00", "30T02:00"]),
        # Berlin: the second and the third time of each day, 02:45 and 03:00.
        ("FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,45;BYSETPOS=2,3", "Europe/Berlin", "2026-03-28T12:00",
         ["29T03:00", "29T03:45", "30T02:45"]),
    ],
)  # fmt: skip
def test_skipped_times_and_those_they_pass(
    rule: str, zone: str, start: str, wanted: list[str]
) -> None:
    """A skipped time may come after others that are later on the clock. None is lost."""
    tz = find_zone(zone)
    found = Recurrence.parse(rule, tz).after(datetime.fromisoformat(f"{start}+00:00"))
    got = [f"{tick.astimezone(tz):%dT%H:%M}" for tick in islice(found, len(wanted))]
    assert got == wanted


@given(
    rule=st.sampled_from(
        ["FREQ=HOURLY", "FREQ=HOURLY;INTERVAL=5;BYMINUTE=20,40", "FREQ=DAILY;BYHOUR=2,3",
         "FREQ=DAILY;BYHOUR=1,2;BYMINUTE=20,40", "FREQ=WEEKLY;BYDAY=SA,SU;BYHOUR=0,23",
         "FREQ=MONTHLY;BYDAY=SU;BYHOUR=0,1,2;BYMINUTE=0,45;BYSETPOS=-1,-2,1"]
    ),
    change=CHANGES,
    seconds=st.integers(-86_400, 14_400),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_changes_of_the_clock(rule: str, change: tuple[str, datetime], seconds: int) -> None:
    """Whenever it is asked, the ticks around a change are dateutil's times, put onto the clock."""
    zone, moment = change
    start, end = moment + timedelta(seconds=seconds), moment + timedelta(days=2)
    begin = datetime(moment.year, 1, 1, 0, 30) - timedelta(days=9)
    text = f"DTSTART:{begin:%Y%m%dT%H%M%S}\nRRULE:{rule}"
    near = moment.replace(tzinfo=None)
    local_times = rrulestr(text).between(near - timedelta(days=4), near + timedelta(days=4))
    found = Recurrence.parse(text, find_zone(zone)).after(start)
    got = list(takewhile(lambda tick: tick <= end, found))
    assert got == [tick for tick in moments_of(local_times, zone) if start < tick <= end]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=DAILY;COUNT=3", "COUNT"),
        ("FREQ=DAILY;BYEASTER=0", "BYEASTER"),
        ("FREQ=DAILY;BYDAY=1MO", "BYDAY"),
        ("FREQ=DAILY;BYDAY=XX", "BYDAY"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY"),
        ("FREQ=HOURLY;BYSETPOS=1", "BYSETPOS"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=DAILY;INTERVAL=A", "INTERVAL"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR"),
        ("FREQ=DAILY;BYHOUR=8;BYHOUR=9", "twice"),
        ("FREQ=DAILY;UNTIL=X", "is no time"),
        ("FREQ=DAILY;WKST=X", "WKST"),
        ("DTSTART:20261301T000000\nFREQ=DAILY", "is no time"),
    ],
)
def test_what_cannot_be_followed_is_said(rule: str, words: str) -> None:
    """The message names the part."""
    with pytest.raises(ValueError, match=words):
        Recurrence.parse(rule, UTC)
