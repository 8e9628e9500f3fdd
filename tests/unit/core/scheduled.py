"""A world with a deployment that is due every minute, and what became of its ticks."""

from datetime import datetime, timedelta
from typing import Any

from tests.unit.core.world import SUCCEEDED_POD, World, deployment

MINUTE = timedelta(minutes=1)
EVERY_MINUTE = {"name": "often", "cron": "* * * * *"}


def world_with(limit: int | None = None, **spec: Any) -> World:
    """A world at T0, 06:00:00, with a deployment that has just been created."""
    world = World(limit)
    world.put(deployment(**{"schedules": [EVERY_MINUTE], **spec}))
    world.reconcile()
    return world


def at(world: World, moment: datetime) -> None:
    """Let it be that time."""
    world.now = moment
    world.reconcile()


def end_runs(world: World) -> None:
    """Let every Pod succeed that there is."""
    for name, job in [(key[1], obj) for key, obj in world.objects.items() if key[0] == "Job"]:
        if not job["spec"].get("suspend"):
            world.pods[name] = [SUCCEEDED_POD]
    world.reconcile()


def ticks(world: World) -> list[str]:
    """The ticks that ever had a run, oldest first."""
    return [f"{datetime.fromisoformat(time):%H:%M:%S}" for time in world.ticks]


def phases(world: World) -> list[str]:
    """Those of all runs."""
    return [run["status"]["phase"] for run in world.all("FlowRun")]
