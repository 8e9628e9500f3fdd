"""Which deployments a process that has just begun may look at a little later than others.

Nearly all of them were left as they should be, and say so themselves. What is due is not to wait
until thousands of them were looked at for nothing.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flow_operator.api.v1alpha1.conditions import ConditionType
from flow_operator.core.ahead import LEAD_SECONDS, SPREAD_SECONDS
from flow_operator.core.durations import parse_moment

FIRST_LOOK_SECONDS = 30
"""How long after the others such a deployment is looked at, at the latest."""

_AHEAD = timedelta(seconds=FIRST_LOOK_SECONDS + LEAD_SECONDS + SPREAD_SECONDS)


def rests_until(raw: Mapping[str, Any]) -> datetime | None:
    """Return until when there is nothing to do about a FlowDeployment, by what it says itself.

    It was accepted as it stands, its last run has ended, and its next tick is some way off. What it
    says need not be true, for a process may have ended before it wrote down what it did; so it is
    looked at all the same. None: it does not say so.
    """
    status = raw.get("status") or {}
    accepted = any(
        condition.get("type") == ConditionType.READY and condition.get("status") == "True"
        for condition in status.get("conditions") or []
    )
    if not accepted or status.get("observedGeneration") != raw["metadata"].get("generation"):
        return None
    last = status.get("lastRun")
    if status.get("active") or (last and not last.get("completionTime")):
        return None
    upcoming = status.get("nextScheduleTime")
    try:
        return parse_moment(upcoming) - _AHEAD if upcoming else datetime.max.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
