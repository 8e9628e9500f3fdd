"""Durations and moments as the API writes them."""

import re
from datetime import UTC, datetime

_PART = re.compile(r"([0-9]+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration(text: str) -> int:
    """Return the seconds of a duration such as 90s or 1h30m.

    Raises:
        ValueError: The text is no duration.
    """
    if not text or _PART.sub("", text):
        raise ValueError(f"{text!r} is no duration: write 30s, 15m, 1h30m or 2d")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def parse_moment(text: str) -> datetime:
    """Return the moment, in UTC, that an RFC 3339 text stands for.

    Raises:
        ValueError: There is no such moment.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: end it with Z")
    return moment.astimezone(UTC)


def format_moment(moment: datetime) -> str:
    """Return a moment as Kubernetes writes it: UTC, whole seconds, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def human_duration(seconds: float) -> str:
    """Return a duration as kubectl prints it: 42s, 1m12s, 3h5m."""
    whole = max(int(seconds), 0)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{secs}s" if minutes else f"{secs}s"
