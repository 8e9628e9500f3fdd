"""The FlowRuns that make up for the ticks of a past window; whoever asks for them creates them."""

from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from flow_operator.api.v1alpha1 import API_VERSION, FlowDeployment
from flow_operator.core import names
from flow_operator.core.durations import format_moment
from flow_operator.core.timetable import timetable_of

MAX_RUNS = 1000
"""How many runs one window may have."""


def backfill_runs(
    deployment: FlowDeployment, schedule: str, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """Return a FlowRun for each tick from `start` to before `end`, oldest first.

    Their names are fixed, so asking twice makes them once. Parameters are left to the schedule.

    Raises:
        ValueError: There is no such schedule, or the window has too many ticks.
        TimetableError: The schedule cannot be followed.
    """
    found = [known for known in deployment.spec.schedules or [] if known.name == schedule]
    if not found:
        raise ValueError(f"FlowDeployment {deployment.metadata.name} has no schedule {schedule!r}")
    every = timetable_of(found[0]).after(start - timedelta(seconds=1))
    ticks = list(islice(takewhile(lambda tick: tick < end, every), MAX_RUNS + 1))
    if len(ticks) > MAX_RUNS:
        raise ValueError(f"the window has more than {MAX_RUNS} ticks: choose a shorter one")
    return [_run(deployment, schedule, tick) for tick in ticks]


def _run(deployment: FlowDeployment, schedule: str, tick: datetime) -> dict[str, Any]:
    meta = deployment.metadata
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": names.backfill_run_name(meta.name, schedule, tick),
            "namespace": meta.namespace,
        },
        "spec": {
            "deploymentRef": {"name": meta.name},
            "trigger": {
                "type": "Backfill",
                "schedule": schedule,
                "scheduledTime": format_moment(tick),
            },
        },
    }
