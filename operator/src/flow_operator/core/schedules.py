"""Which ticks of a deployment's schedules are due, and what to remember of them.

The status keeps one moment a schedule: up to then every tick is dealt with. It moves on in the
write that follows the creation of the runs, so a crash in between repeats creations, whose names
are fixed, and never forgets or doubles a tick; and no run is deleted before its tick is behind it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun
from flow_operator.api.v1alpha1.flowdeployment import ScheduleStatus
from flow_operator.api.v1alpha1.schedule import Schedule
from flow_operator.core import names
from flow_operator.core.durations import parse_duration, parse_moment
from flow_operator.core.timetable import (
    Timetable,
    TimetableError,
    latest,
    next_tick,
    timetable_of,
)
from flow_operator.core.triggers import Tick

MAX_TICKS_PER_PASS = 20
"""How many ticks of a schedule are caught up at once; the rest follows in the next pass."""

ON_TIME_SECONDS = 60
"""How late a tick may be that still counts as on time, where missed ones are not caught up."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A schedule, and how far it has been dealt with.

    Attributes:
        handled: Ticks up to this moment are dealt with.
        suspended: Whether nothing is to start now.
        ran: The last tick that is known to have had a run.
    """

    schedule: Schedule
    timetable: Timetable
    uid: str
    handled: datetime
    suspended: bool
    ran: datetime | None = None

    def start_of(self, tick: datetime) -> datetime:
        """Return when the run of a tick is to be made: at the tick, or its jitter later."""
        return tick + delay_of(self.uid, self.schedule, tick)

    def settled(self, now: datetime) -> datetime:
        """Return up to when every tick has started, whatever its jitter."""
        return now - timedelta(seconds=_jitter_of(self.schedule))


@dataclass(frozen=True, slots=True)
class Due:
    """What a clock asks for at one moment.

    Attributes:
        ticks: To run, oldest first.
        handled: Up to when ticks are dealt with once these are.
        missed: The first tick that is given up, if one is.
        more: Whether there are more ticks to run than these.
        upcoming: The next tick that is not due yet, and when its run is to be made.
    """

    ticks: tuple[datetime, ...] = ()
    handled: datetime | None = None
    missed: datetime | None = None
    more: bool = False
    upcoming: tuple[datetime, datetime] | None = None


def read_clocks(
    deployment: FlowDeployment, raw: dict[str, Any], runs: Iterable[FlowRun], now: datetime
) -> tuple[list[Clock], list[str]]:
    """Return the clocks of the schedules that can be followed, and what is wrong with the others.

    Args:
        deployment: The deployment.
        raw: The same as the API server has it, for when it was edited.
        runs: The FlowRuns that name it.
        now: The time, in UTC.
    """
    records = {record.name: record for record in deployment.status.schedules or []}
    runs = list(runs)
    clocks, problems = [], []
    for index, schedule in enumerate(deployment.spec.schedules or []):
        try:
            timetable = timetable_of(schedule)
        except TimetableError as error:
            problems.append(f"spec.schedules[{index}].{error} (schedule {schedule.name})")
            continue
        record = records.get(schedule.name)
        suspended = deployment.spec.suspend or schedule.suspend
        handled = _handled(deployment, schedule, record, raw, now)
        ran = record.last_schedule_time if record else None
        if record is None:
            seen = (_tick_of(run, deployment, schedule.name) for run in runs)
            ran = max((tick for tick in seen if tick), default=None)
            handled = max(handled, ran) if ran else handled
        resumed = record is not None and record.suspended and not suspended
        if resumed and deployment.spec.catch_up == "none":
            handled = max(handled, now)
        clocks.append(Clock(schedule, timetable, deployment.metadata.uid, handled, suspended, ran))
    return clocks, problems


def _handled(
    deployment: FlowDeployment,
    schedule: Schedule,
    record: ScheduleStatus | None,
    raw: dict[str, Any],
    now: datetime,
) -> datetime:
    if record and record.definition == definition_of(schedule):
        return record.handled_until
    created = deployment.metadata.creation_timestamp or now
    if deployment.status.observed_generation == 0:
        return created  # nobody has looked yet: the ticks since its creation count
    edited = min(edited_at(raw) or now, now)
    known = record.handled_until if record else deployment.status.last_schedule_time
    return max(edited, known) if known else edited


def edits_of(raw: Mapping[str, Any]) -> list[str]:
    """Return when managers last edited the spec of a deployment, as the API server has recorded it.

    What says no fields is what is kept of an entry that was found here before.
    """
    return [
        entry["time"]
        for entry in raw["metadata"].get("managedFields") or []
        if entry.get("time") and "f:spec" in entry.get("fieldsV1", ("f:spec",))
    ]


def edited_at(raw: Mapping[str, Any]) -> datetime | None:
    """Return when the spec of a deployment was last edited."""
    return max((datetime.fromisoformat(time) for time in edits_of(raw)), default=None)


def delay_of(deployment_uid: str, schedule: Schedule, tick: datetime) -> timedelta:
    """Return how much later than its tick a run is to be made: by its jitter, always the same."""
    if not (jitter := _jitter_of(schedule)):
        return timedelta()
    number = int(names.digest(deployment_uid, schedule.name, int(tick.timestamp())), 16)
    return timedelta(seconds=number % (jitter + 1))


def _jitter_of(schedule: Schedule) -> int:
    return parse_duration(schedule.jitter) if schedule.jitter else 0


def definition_of(schedule: Schedule) -> str:
    """Return a hash of what decides when a schedule ticks."""
    interval = schedule.interval
    return names.digest(
        schedule.cron,
        schedule.rrule,
        interval.every if interval else None,
        interval.anchor if interval else None,
        schedule.time_zone,
    )


def due_ticks(clock: Clock, deployment: FlowDeployment, now: datetime) -> Due:
    """Return what a clock asks for now."""
    if clock.suspended:
        return Due()
    spec, settled = deployment.spec, clock.settled(now)
    first = next_tick(clock.timetable, clock.handled)
    if first is None or first > now:
        return Due(upcoming=(first, clock.start_of(first)) if first else None)
    limit = spec.starting_deadline_seconds
    if spec.catch_up == "none":
        limit = min(limit or ON_TIME_SECONDS, ON_TIME_SECONDS)
    oldest = now - timedelta(seconds=limit) if limit else None
    since = clock.handled
    if oldest:
        since = max(since, clock.settled(oldest) - timedelta(seconds=1))
    if spec.catch_up == "all":
        found = _started(clock, since, now)
    else:
        found = _started(clock, max(since, settled), now)[-1:]
        if not found and settled > since and (last := latest(clock.timetable, since, settled)):
            found = [last]
    more = len(found) > MAX_TICKS_PER_PASS
    found = found[:MAX_TICKS_PER_PASS]
    ticks = tuple(tick for tick in found if not oldest or clock.start_of(tick) >= oldest)
    handled = found[-1] if found else None
    passed = handled or since
    missed = first if first <= passed and first not in ticks[:1] else None
    ahead = next_tick(clock.timetable, passed)
    if ahead and ahead <= settled and not more:
        ahead = next_tick(clock.timetable, settled)
    upcoming = (ahead, clock.start_of(ahead)) if ahead else None
    return Due(ticks, handled or (since if missed else None), missed, more, upcoming)


def _started(clock: Clock, since: datetime, now: datetime) -> list[datetime]:
    """Return the first ticks later than a moment whose runs are to be made by now.

    A tick is never overtaken by the next one, whatever their jitter.
    """
    if since >= now:
        return []
    limit = MAX_TICKS_PER_PASS + 1
    found: list[datetime] = []
    for tick in islice(clock.timetable.after(since), _most(clock, limit)):
        if clock.start_of(tick) > now:
            break
        found.append(tick)
    return found


def _most(clock: Clock, limit: int) -> int:
    """Return how many ticks to look at: those of a jitter all count, where only the last does."""
    return limit if not clock.schedule.jitter else max(limit, 3601)


def record_of(clock: Clock, handled: datetime, ran: datetime | None, due: Due) -> ScheduleStatus:
    """Return what to remember of a schedule."""
    upcoming = due.upcoming[0] if due.upcoming else None
    fields: dict[str, Any] = {
        "name": clock.schedule.name,
        "definition": definition_of(clock.schedule),
        "handled_until": handled,
        "last_schedule_time": ran or clock.ran,
        "next_schedule_time": upcoming,
        "suspended": True if clock.suspended else None,
    }
    return ScheduleStatus(**{name: value for name, value in fields.items() if value is not None})


def summary_of(deployment: FlowDeployment) -> str | None:
    """Return the schedules in one line, for people."""
    schedules = deployment.spec.schedules or []
    if not schedules:
        return None
    first, rest = schedules[0], len(schedules) - 1
    text = first.cron or first.rrule or (f"every {first.interval.every}" if first.interval else "")
    text = text.rpartition("\n")[2]
    if first.time_zone:
        text = f"{text} {first.time_zone}"
    return f"{text} and {rest} more" if rest else text


def tick_of(run: FlowRun, deployment_uid: str) -> tuple[str, datetime] | None:
    """Return which tick of a deployment the operator made a run for, if it did."""
    trigger, owner = run.spec.trigger, run.metadata.controller()
    if (
        trigger is None
        or trigger.type != "Schedule"
        or not trigger.schedule
        or not trigger.scheduled_time
        or owner is None
        or owner.uid != deployment_uid
    ):
        return None
    try:
        return trigger.schedule, parse_moment(trigger.scheduled_time)
    except ValueError:
        return None


def _tick_of(run: FlowRun, deployment: FlowDeployment, schedule: str) -> datetime | None:
    tick = tick_of(run, deployment.metadata.uid)
    return tick[1].astimezone(UTC) if tick and tick[0] == schedule else None


def make_ticks(clocks: Iterable[tuple[Clock, Due]]) -> list[Tick]:
    """Return the ticks of all schedules, oldest first."""
    ticks = [Tick(clock.schedule, time) for clock, due in clocks for time in due.ticks]
    return sorted(ticks, key=lambda tick: tick.time)
