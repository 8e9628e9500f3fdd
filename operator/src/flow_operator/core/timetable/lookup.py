"""Questions to a timetable that cost the same however long nobody asked."""

from datetime import datetime, timedelta
from functools import lru_cache

from flow_operator.core.timetable.zone import Timetable

_FIRST_WINDOW = timedelta(seconds=64)
_GROWTH = 8


@lru_cache(maxsize=20_000)
def next_tick(timetable: Timetable, moment: datetime) -> datetime | None:
    """Return the first tick later than a moment, if there is one.

    Remembered: it is asked at every look at a deployment, and many have the same schedule.
    """
    return next(timetable.after(moment), None)


def latest(timetable: Timetable, since: datetime, until: datetime) -> datetime | None:
    """Return the last tick later than `since` and not later than `until`, if there is one.

    Nearly always there is one at most. Else the search looks back from the end in growing steps:
    the ticks of a year that nobody saw are not counted through.
    """
    first = next_tick(timetable, since)
    if first is None or first > until:
        return None
    second = next_tick(timetable, first)
    if second is None or second > until:
        return first
    window = _FIRST_WINDOW
    while True:
        start = max(since, until - window) if window < until - since else since
        found = None
        for tick in timetable.after(start):
            if tick > until:
                break
            found = tick
        if found is not None:
            return found
        window *= _GROWTH
