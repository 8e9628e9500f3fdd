"""Runs beside others, after them or instead of them."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

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
    SUCCEEDED_POD,
    T0,
    KilledError,
    World,
    deployment,
    flow_run,
    pod,
    stamp,
)


def one_waits(limit: int | None = None, **spec: Any) -> World:
    """Two minutes later: one run that has begun, and one in the queue."""
    world = world_with(limit, **spec)
    at(world, T0 + MINUTE)
    at(world, T0 + 2 * MINUTE)
    assert phases(world) == ["Pending", "Queued"]
    return world


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
    world = one_waits(concurrencyPolicy="Enqueue", startingDeadlineSeconds=90)
    world.edit(suspend=True)
    at(world, T0 + timedelta(minutes=3, seconds=30))
    assert phases(world) == ["Pending", "Failed"]
    queued = world.all("FlowRun")[1]["status"]["conditions"][0]
    assert queued["reason"] == "StartingDeadlineExceeded"


def test_the_starting_deadline_counts_from_when_jitter_has_passed() -> None:
    """A run that is made minutes after its tick, for its schedule says so, is not late."""
    schedule = {**EVERY_MINUTE, "cron": "0 * * * *", "jitter": "30m"}
    world = world_with(schedules=[schedule], concurrencyPolicy="Enqueue", startingDeadlineSeconds=9)
    world.put(flow_run("by-hand"))
    world.reconcile()
    world.pod_becomes(pod(FETCHED, RUNNING, phase="Running"))
    at(world, T0 + timedelta(minutes=58))
    while "Queued" not in phases(world):
        at(world, world.now + timedelta(seconds=3))
        assert world.now < T0 + timedelta(hours=2)
    tick = datetime.fromisoformat(world.ticks[0])
    assert world.now - tick > MINUTE
    at(world, world.now + timedelta(seconds=4))
    assert phases(world) == ["Running", "Queued"]
    at(world, world.now + timedelta(seconds=9))
    assert phases(world) == ["Running", "Failed"]


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


def test_suspending_a_schedule_holds_what_is_queued_of_it() -> None:
    """Those of the other schedules go on."""
    other = {"name": "other", "cron": "1 * * * *"}
    world = world_with(schedules=[EVERY_MINUTE, other], concurrencyPolicy="Enqueue")
    at(world, T0 + MINUTE)
    at(world, T0 + 2 * MINUTE)
    assert sorted(phases(world)) == ["Pending", "Queued", "Queued"]
    world.edit(schedules=[{**EVERY_MINUTE, "suspend": True}, other])
    end_runs(world)
    end_runs(world)
    names = {run["spec"]["trigger"]["schedule"] for run in world.all("FlowRun")
             if run["status"]["phase"] == "Queued"}  # fmt: skip
    assert names == {"often"}
    assert "Pending" not in phases(world)
    world.edit(schedules=[EVERY_MINUTE, other])
    world.reconcile()
    assert "Queued" not in phases(world)


def test_suspend_holds_what_waits_for_room_of_the_operator() -> None:
    """And lets others have that room meanwhile."""
    world = one_waits(limit=1)
    world.edit(suspend=True)
    world.reconcile()
    end_runs(world)
    assert phases(world) == ["Succeeded", "Queued"]
    waiting = world.all("FlowRun")[1]["status"]["conditions"][0]["message"]
    assert "etl is suspended (spec.suspend)" in waiting
    world.put(flow_run("by-hand"))
    world.reconcile()
    assert phases(world) == ["Succeeded", "Queued", "Pending"]
    world.edit(suspend=False)
    end_runs(world)
    assert phases(world) == ["Succeeded", "Pending", "Succeeded"]


@pytest.mark.parametrize("limit", [None, 1])
def test_what_is_queued_ends_with_its_deployment(limit: int | None) -> None:
    """Runs that somebody created are there still, and nothing says how many may run."""
    world = World(limit=limit)
    world.put(deployment(runOn=[], concurrencyPolicy="Allow" if limit else "Enqueue"))
    for number in range(5):
        world.put(flow_run(f"run-{number}"))
    world.reconcile()
    assert phases(world) == ["Pending"] + ["Queued"] * 4
    gone = world.objects.pop(("FlowDeployment", "etl"))
    world.reconcile()
    end_runs(world)
    assert phases(world) == ["Succeeded"] + ["Queued"] * 4
    assert "no FlowDeployment 'etl'" in str(world.all("FlowRun")[1]["status"]["conditions"])
    at(world, T0 + timedelta(seconds=299))
    world.put(gone)
    end_runs(world)
    assert phases(world) == ["Succeeded", "Pending"] + ["Queued"] * 3
    assert "Stalled" not in str(world.all("FlowRun")[2]["status"]["conditions"])
    for _, name in list(world.created):
        world.pods.setdefault(name, [pod(FETCHED, RUNNING, phase="Running")])
    at(world, T0 + timedelta(hours=1))
    del world.objects["FlowDeployment", "etl"]
    at(world, T0 + timedelta(hours=1, seconds=1))
    at(world, T0 + timedelta(hours=1, seconds=300))
    assert phases(world)[2:] == ["Queued"] * 3
    at(world, T0 + timedelta(hours=1, seconds=302))
    assert phases(world)[2:] == ["Failed"] * 3
    told = [event for event in world.events if event.reason == "DeploymentNotFound"]
    assert len(told) == 4 + 3 + 3  # each time it was gone, and at the end
    assert world.all("FlowRun")[2]["status"]["conditions"][0]["reason"] == "DeploymentNotFound"


def test_a_new_deployment_of_that_name_is_another_one() -> None:
    """What the operator made for the old one is about to be deleted; it starts no more."""
    world = one_waits(limit=1)
    world.objects["FlowDeployment", "etl"]["metadata"]["uid"] = "uid-etl-2"
    end_runs(world)
    assert phases(world) == ["Succeeded", "Queued"]
    assert "no FlowDeployment 'etl'" in str(world.all("FlowRun")[1]["status"]["conditions"])
    assert len(world.ledger) == 0


def test_suspend_holds_what_has_its_place_and_waits_for_room() -> None:
    """It is listed as active already; its place is for who may run meanwhile."""
    world = World(limit=1)
    other = deployment(runOn=[])
    other["metadata"] |= {"name": "other", "uid": "uid-other"}
    world.put(other)
    world.put(flow_run("by-hand", deploymentRef={"name": "other"}))
    world.put(deployment(schedules=[EVERY_MINUTE], concurrencyPolicy="Enqueue"))
    world.reconcile()
    at(world, T0 + MINUTE)
    assert phases(world) == ["Pending", "Queued"]
    world.edit(suspend=True)
    world.reconcile()
    end_runs(world)
    assert phases(world) == ["Succeeded", "Queued"]
    assert world.all("FlowRun")[1]["status"]["conditions"][0]["reason"] == "Suspended"
    world.put(flow_run("another"))
    world.reconcile()
    assert phases(world) == ["Succeeded", "Queued", "Pending"]
    world.edit(suspend=False)
    world.reconcile()
    assert phases(world) == ["Succeeded", "Queued", "Pending"]
    end_runs(world)
    assert phases(world) == ["Succeeded", "Pending", "Succeeded"]


@pytest.mark.parametrize("policy", ["Allow", "Enqueue"])
def test_what_nobody_looked_at_in_time_starts_no_more(policy: str) -> None:
    """The run was made in time, and its maker killed before it did more."""
    world = world_with(concurrencyPolicy=policy, startingDeadlineSeconds=60, runOn=[])
    world.now = T0 + MINUTE
    world.budget = 1
    with suppress(KilledError):
        world.reconcile()
    world.budget = None
    world.edit(schedules=[{**EVERY_MINUTE, "cron": "0 0 1 1 *"}])
    at(world, T0 + timedelta(hours=1))
    assert phases(world) == ["Failed"]
    assert world.one("FlowRun")["status"]["conditions"][0]["reason"] == "StartingDeadlineExceeded"
    assert world.all("Job") == []


def test_what_was_due_too_long_ago_starts_no_more() -> None:
    """Nobody was there when the run before it ended; by now it is too late, whoever looks first."""
    world = one_waits(concurrencyPolicy="Enqueue", startingDeadlineSeconds=60)
    world.now = T0 + timedelta(hours=1)
    world.edit(suspend=True)
    for _, name in world.created:
        world.pods[name] = [SUCCEEDED_POD]
    listed = world.one("FlowDeployment")["status"]["active"]
    listed.append({"name": world.all("FlowRun")[1]["metadata"]["name"]})
    world.reconcile()
    assert phases(world) == ["Succeeded", "Failed"]


def test_a_deployment_that_cannot_be_read_lets_nothing_go() -> None:
    """Nobody knows how many of its runs may run."""
    world = World()
    world.put(deployment(runOn=[], concurrencyPolicy="Enqueue"))
    for number in range(3):
        world.put(flow_run(f"run-{number}"))
    world.reconcile()
    world.objects["FlowDeployment", "etl"]["spec"]["concurrencyPolicy"] = "Later"
    world.reconcile()
    end_runs(world)
    assert phases(world) == ["Succeeded", "Queued", "Queued"]
    assert "concurrencyPolicy" in str(world.all("FlowRun")[1]["status"]["conditions"])
