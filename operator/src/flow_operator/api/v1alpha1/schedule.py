"""When a FlowDeployment runs by itself: by cron expression, by interval, or by recurrence rule."""

from typing import Any

from pydantic import ConfigDict, Field

from flow_operator.api.rules import Rule, exactly_one, matching, rules
from flow_operator.api.v1alpha1.meta import DNS_LABEL, DURATION, TIMESTAMP, Model
from flow_operator.api.v1alpha1.pod import Parameters

MAX_SCHEDULES = 32

_CRON_FIELD = "[0-9A-Za-z*?/,#-]+"
_CRON = (
    r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|"
    rf"({_CRON_FIELD} +){{4}}{_CRON_FIELD})$"
)
_RRULE = (
    r"^(DTSTART:[0-9]{8}T[0-9]{6}\n)?(RRULE:)?FREQ=(HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY)"
    r"(;[A-Z]+=[-+0-9A-Z,]+)*$"
)
_JITTER = r"^(([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}|3600)s|([1-5]?[0-9]|60)m|1h)$"


def _no_zone_with_interval(schedule: dict[str, Any]) -> bool:
    return "timeZone" not in schedule or "interval" not in schedule


class Interval(Model):
    """A run every so often, counted in elapsed time from an anchor."""

    every: str = Field(
        description="Time between two runs, such as 30s, 15m, 1h30m or 2d. A day is 24 hours.",
        pattern=DURATION,
    )
    anchor: str | None = Field(
        default=None,
        description=(
            "A moment that the runs are counted from, such as 2026-01-01T00:30:00Z. Unset: "
            "Monday, 2001-01-01T00:00:00Z, so that 1h runs on the hour and 1d at midnight UTC."
        ),
        pattern=TIMESTAMP,
    )


class Schedule(Model):
    """One timetable: exactly one of cron, interval and rrule."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            exactly_one("schedules", "cron", "interval", "rrule"),
            Rule(
                cel="!has(self.timeZone) || !has(self.interval)",
                message=(
                    "timeZone has no meaning for an interval, which is elapsed time: use cron for "
                    "times of a day"
                ),
                check=_no_zone_with_interval,
                field="timeZone",
                forbidden=True,
            ),
        )
    )

    name: str = Field(
        description="Name of the schedule; part of what makes a tick's run unique.",
        min_length=1,
        max_length=63,
        pattern=DNS_LABEL,
    )
    cron: str | None = Field(
        default=None,
        description=(
            "Minute, hour, day of month, month, day of week; with names (MON, JAN), lists, "
            "ranges, steps, L (last day of the month), LW (its last weekday), 5L (its last "
            "Friday) and 5#2 (its second). Or @hourly, @daily, @weekly, @monthly, @yearly."
        ),
        max_length=256,
        json_schema_extra=rules(
            matching(
                _CRON,
                "cron must have five fields (minute, hour, day of month, month, day of week) or "
                "be one of @hourly, @daily, @weekly, @monthly, @yearly; in place of @every use "
                "interval, in place of TZ= use timeZone",
            )
        ),
    )
    interval: Interval | None = Field(
        default=None, description="Every so often, in elapsed time, whatever clocks do."
    )
    rrule: str | None = Field(
        default=None,
        description=(
            "Recurrence rule of RFC 5545, from FREQ=HOURLY to FREQ=YEARLY, with INTERVAL, UNTIL, "
            "WKST, BYMONTH, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE and BYSETPOS. A line "
            "DTSTART:20260101T090000 before it, in local time, says where it starts; without one "
            "it is Monday, 2001-01-01 at midnight."
        ),
        max_length=512,
        json_schema_extra=rules(
            matching(
                _RRULE,
                "rrule must begin with FREQ=HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY, after an "
                "optional line DTSTART:<yyyymmdd>T<hhmmss>; for shorter times use interval or cron",
            )
        ),
    )
    time_zone: str | None = Field(
        default=None,
        description=(
            "IANA time zone of cron and rrule, such as Europe/Berlin. Unset: UTC. A time that the "
            "clocks skip runs after the gap, and one that they repeat runs once; a cron "
            "whose minute or hour begins with * runs in elapsed time."
        ),
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
    )
    jitter: str | None = Field(
        default=None,
        description=(
            "Spreads runs over up to that long after their tick, at most 1h, such as 90s or 10m. "
            "How long is fixed for each tick; the run still gets the tick's own time."
        ),
        pattern=_JITTER,
    )
    parameters: Parameters | None = Field(
        default=None,
        description="Arguments by name for the runs of this schedule, over the deployment's.",
    )
    suspend: bool = Field(default=False, description="Holds back the runs of this schedule alone.")
