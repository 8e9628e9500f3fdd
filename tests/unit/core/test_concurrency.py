"""Runs beside others, after them or instead of them."""

from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from tests.unit.core.scheduled import (
    EVERY_MINUTE,
    MINUTE,
    at,
    end_runs,
    phases,
    ticks,
    world_with,
)
from tests.unit.core.world import (
    FETCHED,
    RUNNING,
    T0,
    KilledError,
    World,
    deployment,
    flow_run,
    pod,
    stamp,
)


def test_forbid_skips_and_says_so() -> None:
    """A tick that finds a run unfinished is gone, whoever made that run."""
    world = world_with(concurrencyPolicy="Forbid")
    at(world, T0 + MINUTE)
    at(world, T0 + 2 * MINUTE)
    assert ticks(world) == ["06:01:00"]
    assert [event.reason for event in world.events if "Skipped" in event.reason] == ["TickSkipped"]
    end_runs(world)
    assert ticks(world) == ["06:01:00"]
    at(world, T0 + 3 * MINUTE)
    assert ticks(world) == ["06:01:00", "06:03:00"]
    assert phases(world) == ["Succeeded", "Pending"]


def test_forbid_makes_others_wait() -> None:
    """FlowRuns that somebody creates, and spec changes, are not lost: they wait for room."""
    world = world_with(concurrencyPolicy="Forbid", runOn=["SpecChange"])
    assert phases(world) == ["Pending"]
    world.put(flow_run("by-hand"))
    world.edit(parameters={"a": 1})
    at(world, T0 + timedelta(seconds=10))
    assert phases(world) == ["Pending", "Queued"]
    condition = [
        c
        for c in world.objects["FlowRun", "by-hand"]["status"]["conditions"]
        if c["type"] == "Succeeded"
    ]
    assert condition[0]["reason"] == "Queued"
    assert "concurrencyPolicy: Forbid" in condition[0]["message"]
    end_runs(world)
    assert phases(world) == ["Succeeded", "Pending"]
    end_runs(world)
    assert phases(world) == ["Succeeded", "Succeeded", "Pending"]
    assert world.objects["FlowRun", "by-hand"]["status"]["startTime"] == stamp(world.now)


def test_enqueue_runs_one_after_the_other() -> None:
    """Every tick gets its run; they start in order, so many at a time."""
    world = world_with(concurrencyPolicy="Enqueue", concurrencyLimit=2)
    for minute in range(1, 6):
        at(world, T0 + timedelta(minutes=minute))
    assert phases(world) == ["Pending"] * 2 + ["Queued"] * 3
    end_runs(world)
    assert phases(world) == ["Succeeded"] * 2 + ["Pending"] * 2 + ["Queued"]
    end_runs(world)
    assert phases(world)[-1] == "Pending"


def test_queue_does_not_outlast_the_starting_deadline() -> None:
    """A run of a schedule that cannot start in time ends, with its reason."""
    world = world_with(concurrencyPolicy="Enqueue", startingDeadlineSeconds=90)
    at(world, T0 + MINUTE)
    at(world, T0 + 2 * MINUTE)
    assert phases(world) == ["Pending", "Queued"]
    world.edit(suspend=True)
    at(world, T0 + timedelta(minutes=3, seconds=30))
    assert phases(world) == ["Pending", "Failed"]
    queued = world.all("FlowRun")[1]["status"]["conditions"][0]
    assert queued["reason"] == "StartingDeadlineExceeded"


def test_replace_cancels_the_oldest_and_then_starts() -> None:
    """The new run waits until the Pod of the old one is gone; the old one says for whom."""
    world = world_with(concurrencyPolicy="Replace")
    at(world, T0 + MINUTE)
    at(world, T0 + 2 * MINUTE)
    old, new = world.all("FlowRun")
    assert old["spec"]["cancel"] is True
    assert old["status"]["phase"] == "Cancelled"
    assert old["status"]["conditions"][0]["reason"] == "Replaced"
    assert new["metadata"]["name"] in old["status"]["conditions"][0]["message"]
    assert new["status"]["phase"] == "Pending"


@pytest.mark.parametrize("writes", range(6))
def test_replace_goes_on_where_it_was_killed(writes: int) -> None:
    """The new run may be there already, and nobody have come to cancel the old one."""
    world = world_with(concurrencyPolicy="Replace")
    at(world, T0 + MINUTE)
    world.budget = writes
    with suppress(KilledError):
        at(world, T0 + 2 * MINUTE)
    world.budget = None
    world.reconcile()
    assert phases(world) == ["Cancelled", "Pending"]


def test_replace_makes_room_once() -> None:
    """Of two that may run at a time one is replaced, however often that is decided."""
    world = world_with(concurrencyPolicy="Replace", concurrencyLimit=2)
    for minute in (1, 2):
        at(world, T0 + minute * MINUTE)
    world.budget = 1
    with suppress(KilledError):
        at(world, T0 + 3 * MINUTE)
    world.budget = None
    world.reconcile()
    assert phases(world) == ["Cancelled", "Pending", "Pending"]


def test_replace_leaves_alone_what_somebody_created() -> None:
    """A FlowRun of one's own is waited for."""
    world = world_with(concurrencyPolicy="Replace")
    world.put(flow_run("by-hand"))
    at(world, T0 + timedelta(seconds=1))
    at(world, T0 + MINUTE)
    assert phases(world) == ["Pending", "Queued"]
    end_runs(world)
    assert phases(world) == ["Succeeded", "Pending"]


def test_suspend_holds_what_is_queued() -> None:
    """Queued runs of schedules wait for the resumption, one of somebody's own does not."""
    world = world_with(concurrencyPolicy="Enqueue")
    at(world, T0 + MINUTE)
    at(world, T0 + 2 * MINUTE)
    world.edit(suspend=True)
    end_runs(world)
    assert phases(world) == ["Succeeded", "Queued"]
    world.put(flow_run("by-hand"))
    world.reconcile()
    assert phases(world) == ["Succeeded", "Queued", "Pending"]
    end_runs(world)
    world.edit(suspend=False)
    world.reconcile()
    assert phases(world) == ["Succeeded", "Pending", "Succeeded"]
