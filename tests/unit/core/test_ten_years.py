"""A clock that jumps through ten years makes the runs that other implementations say."""

from datetime import datetime, timedelta
from itertools import takewhile

import pytest
from dateutil.rrule import rrulestr

from flow_operator.core.decision import CreateRun, WriteStatus
from flow_operator.core.deployments import decide_deployment
from flow_operator.core.durations import format_moment
from tests.unit.core.timetable.oracles import (
    TEN_YEARS,
    clock_changes,
    minutes_that_match,
    moments_of,
)
from tests.unit.core.timetable.test_cron import moments_by_croniter
from tests.unit.core.world import deployment, is_plan, stamp

DAY = timedelta(days=1)


def ticks_run(schedule: dict[str, str], now: datetime, end: datetime) -> list[str]:
    """The ticks of the runs of a new deployment, looked at as late as each look allows."""
    raw = deployment(schedules=[{"name": "x", **schedule}])
    raw["metadata"]["creationTimestamp"] = stamp(now)
    found: list[str] = []
    while now <= end:
        decision = decide_deployment(raw, [], now)
        for action in decision.actions:
            if isinstance(action, CreateRun) and not is_plan(action.manifest):
                found.append(action.manifest["spec"]["trigger"]["scheduledTime"])
            elif isinstance(action, WriteStatus):
                raw["status"] = action.status
        if decision.requeue_after is None:
            break
        now += timedelta(seconds=decision.requeue_after)
    return found


def stamps(moments: list[datetime]) -> list[str]:
    return [format_moment(moment) for moment in moments]


FIXED_TIMES = [
    ("30 2 * * *", "Europe/Berlin"),
    ("15 2 * * SUN", "America/New_York"),
    ("0 9 1-7 * MON", "Australia/Lord_Howe"),
    ("45 23 L * *", "Asia/Kathmandu"),
    ("30 0 * * FRI#2", "America/St_Johns"),
    ("0 3 29 2 *", "Pacific/Auckland"),
    ("0 12 * * MON-FRI", "UTC"),
]


@pytest.mark.parametrize(("cron", "zone"), FIXED_TIMES)
def test_times_of_a_day(cron: str, zone: str) -> None:
    """Fixed times: those of croniter, put onto the clock by the rules in the docs."""
    start, end = TEN_YEARS
    wanted = takewhile(lambda moment: moment <= end, moments_by_croniter(cron, zone))
    assert ticks_run({"cron": cron, "timeZone": zone}, start, end) == stamps(list(wanted))


SELDOM = [
    ("30 */6 1 * *", "Europe/Berlin"),
    ("*/30 1-3 1,2 3,11 SUN", "America/New_York"),  # the Sundays, and the 1st and the 2nd
    ("15 */2 * 4,10 SUN", "Australia/Lord_Howe"),
    ("*/30 0-1 24-30 4 *", "Africa/Cairo"),  # where clocks skip midnight
]


@pytest.mark.parametrize(("cron", "zone"), SELDOM)
def test_elapsed_time(cron: str, zone: str) -> None:
    """A minute or hour that begins with a star: all minutes of ten years that match."""
    wanted = minutes_that_match(cron, zone, *TEN_YEARS)
    assert ticks_run({"cron": cron, "timeZone": zone}, *TEN_YEARS) == stamps(wanted)


OFTEN = [
    ("*/20 * * * *", "Africa/Casablanca"),
    ("0 * * * MON", "America/New_York"),
    ("30 */6 * * *", "Europe/Berlin"),
    ("15 */2 * * *", "Australia/Lord_Howe"),
    ("45 * * * *", "Pacific/Chatham"),
    ("*/15 1,2 * * *", "Antarctica/Troll"),
    ("* 0 * * SUN", "America/Santiago"),
]


@pytest.mark.parametrize(("cron", "zone"), OFTEN)
def test_elapsed_time_around_changes_of_the_clock(cron: str, zone: str) -> None:
    """The same for what ticks too often for ten years: for days around each change."""
    changes = clock_changes(zone)
    assert len(changes) >= 20
    for change in changes:
        start, end = change - DAY, change + DAY
        wanted = minutes_that_match(cron, zone, start, end)
        assert ticks_run({"cron": cron, "timeZone": zone}, start, end) == stamps(wanted)


RULES = [
    ("20200831T023000", "FREQ=DAILY;BYDAY=SA,SU", "Europe/Berlin"),
    ("20220105T013000", "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,WE", "America/New_York"),
    ("20210101T000000", "FREQ=MONTHLY;BYDAY=1SU;BYHOUR=1,2;BYMINUTE=20,40", "Australia/Lord_Howe"),
    ("20010101T010000", "FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=1,2,3,4", "Antarctica/Troll"),
    ("20240229T024500", "FREQ=YEARLY;BYMONTH=4,9;BYDAY=SU;UNTIL=20290901", "Pacific/Chatham"),
]


@pytest.mark.parametrize(("begin", "rule", "zone"), RULES)
def test_recurrence_rules(begin: str, rule: str, zone: str) -> None:
    """The local times are dateutil's; what becomes of them is by the rules in the docs."""
    start, end = TEN_YEARS
    text = f"DTSTART:{begin}\nRRULE:{rule}"
    local_times = takewhile(lambda local: local.year <= end.year, rrulestr(text))
    wanted = [moment for moment in moments_of(local_times, zone) if start < moment <= end]
    assert ticks_run({"rrule": text, "timeZone": zone}, start, end) == stamps(wanted)
