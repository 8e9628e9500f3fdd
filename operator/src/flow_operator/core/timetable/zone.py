"""What a timetable is, and how local times become moments where clocks skip or repeat an hour."""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

_NEVER = timedelta(days=50 * 366)
"""So long without a tick means that there is none."""

_NO_ZONES = frozenset({"localtime", "posixrules", "Factory", "Local"})
"""Names that a time zone database may hold, but that say something else on every machine."""


class Timetable(Protocol):
    """The ticks of a schedule. Those of equal definitions are equal."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the ticks later than a moment, in UTC, each later than the one before.

        Which ticks there are does not depend on the moment. It ends when there are no more, or
        none for so long that there is no point in waiting.
        """
        ...

    def __hash__(self) -> int: ...


def find_zone(name: str | None) -> tzinfo:
    """Return the IANA time zone of that name; UTC when there is none.

    Raises:
        ValueError: There is no such time zone.
    """
    if name is None or name in ("UTC", "Etc/UTC"):
        return UTC
    if name in _NO_ZONES:
        raise ValueError(f"{name} is no time zone of its own")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error


def to_moment(local: datetime, zone: tzinfo) -> datetime:
    """Return the moment of a local time without zone, in UTC.

    A time that the clocks skip is taken with the offset before the gap, which puts it as long
    after the gap as it was into it (RFC 5545, 3.3.5). Of a time that they repeat it is the first.
    """
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def to_moments(
    local_times: Iterable[datetime], zone: tzinfo, *, elapsed: bool = False
) -> Iterator[datetime]:
    """Yield the moments of ascending local times, in the order of the moments.

    A skipped or repeated time is taken as by `to_moment`. By elapsed time, a skipped one has no
    moment, and a repeated one has both; it ends when all times of `_NEVER` are skipped.
    """
    late: deque[datetime] = deque()  # moments that those of later local times may come before
    had: datetime | None = None  # the last local time that has a moment, or the first of all
    for local in local_times:
        first = to_moment(local, zone)
        second = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
        while late and late[0] <= min(first, second):  # nothing later comes before that
            yield late.popleft()
        if first <= second:
            yield first
        if first > second and elapsed:
            had = had or local
            if local - had > _NEVER:
                return
            continue
        had = local
        if first > second:
            late.append(first)
        elif first < second and elapsed:
            late.append(second)
    yield from late


def local_before(moment: datetime, zone: tzinfo) -> datetime:
    """Return a local time, without zone, that clocks are past at all later moments.

    It is that of the moment, or earlier if the clocks are put back within a day.
    """
    day = timedelta(days=1)
    now, tomorrow = moment.astimezone(zone), (moment + day).astimezone(zone)
    return min(now.replace(tzinfo=None), tomorrow.replace(tzinfo=None) - day)
