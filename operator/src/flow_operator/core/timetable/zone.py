"""What a timetable is, and how local times become moments where clocks skip or repeat an hour."""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

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
