"""Setting conditions the Kubernetes way: the transition time moves only when the status does."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from flow_operator.api.v1alpha1 import Condition, find_condition

MAX_MESSAGE = 2048
"""The most characters of a condition's message, so that no foreign text floods a status."""


def make_condition(  # one argument a field of the condition
    previous: Iterable[Condition],
    kind: str,
    status: Literal["True", "False", "Unknown"],
    reason: str,
    message: str,
    *,
    generation: int,
    now: datetime,
) -> Condition:
    """Return a condition that keeps the transition time of its predecessor of the same status."""
    old = find_condition(previous, kind)
    since = old.last_transition_time if old and old.status == status else now
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=shorten(message, MAX_MESSAGE),
        last_transition_time=since,
        observed_generation=generation,
    )


def shorten(text: str, limit: int) -> str:
    """Return the text without control characters, cut to a number of characters."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    clean = text.strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
