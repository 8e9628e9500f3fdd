"""A tick makes exactly one run, whatever happens to the operator: laws over random histories."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.world import SUCCEEDED_POD, T0, KilledError, World, deployment, stamp

SCHEDULES = [
    {"name": "fast", "interval": {"every": "7s"}},
    {"name": "cron", "cron": "* * * * *"},
    {"name": "spread", "interval": {"every": "20s"}, "jitter": "15s"},
]


def every_tick(until: datetime) -> set[tuple[str, str]]:
    """The ticks by plain arithmetic: of each schedule, later than T0, up to a moment."""
    found: set[tuple[str, str]] = set()
    anchor = datetime(2001, 1, 1, tzinfo=UTC)
    for name, seconds in (("fast", 7), ("cron", 60), ("spread", 20)):
        first = anchor + ((T0 - anchor) // timedelta(seconds=seconds)) * timedelta(seconds=seconds)
        tick = first + timedelta(seconds=seconds)
        while tick <= until:
            found.add((name, stamp(tick)))
            tick += timedelta(seconds=seconds)
    return found


def made(world: World) -> list[tuple[str, str]]:
    triggers = [run["spec"]["trigger"] for run in world.made]
    return [(trigger["schedule"], trigger["scheduledTime"]) for trigger in triggers]


def end_runs(world: World) -> None:
    for kind, name in list(world.objects):
        if kind == "Job":
            world.pods[name] = [SUCCEEDED_POD]


STEP = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 90)),
    st.tuples(st.just("live"), st.integers(1, 9)),
    st.tuples(st.just("die"), st.integers(0, 20)),
    st.tuples(st.just("end"), st.just(0)),
    st.tuples(st.just("suspend"), st.sampled_from([True, False])),
    st.tuples(st.just("edit"), st.integers(0, 9)),
)


@given(
    steps=st.lists(STEP, min_size=1, max_size=14),
    history=st.sampled_from(
        [{"successfulRunsHistoryLimit": 0}, {"ttlSecondsAfterFinished": 5}, {}]
    ),
    overlap=st.sampled_from(
        [{}, {"concurrencyPolicy": "Enqueue"},
         {"concurrencyPolicy": "Enqueue", "concurrencyLimit": 3}]
    ),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_every_tick_has_one_run(
    steps: list[tuple[str, int]], history: dict[str, Any], overlap: dict[str, Any]
) -> None:
    """Killed at any write, down for minutes, suspended, edited, runs deleted: one run a tick."""
    world = World()
    world.put(deployment(schedules=SCHEDULES, catchUp="all", **history, **overlap))
    limit = overlap.get("concurrencyLimit", 1) if overlap else None
    suspended = False
    for step, number in [*steps, ("suspend", False), ("end", 0), ("live", 1), ("end", 0)]:
        if step == "wait":
            world.now += timedelta(seconds=number)
        elif step == "end":
            end_runs(world)
        elif step == "suspend":
            suspended = bool(number)
            world.edit(suspend=suspended)
        elif step == "edit":
            world.edit(parameters={"n": number})
        elif step == "live":
            live(world, number, limit)
        else:
            world.now += timedelta(seconds=20)  # so that there is something to be killed at
            world.budget = number
            with suppress(KilledError):
                live(world, 3, limit)
            world.budget = None
    for _ in range(8):
        world.now += timedelta(seconds=5)
        end_runs(world)
        world.reconcile()
    found = made(world)
    assert len(found) == len(set(found))
    assert len({run["metadata"]["name"] for run in world.made}) == len(found)
    certain = every_tick(world.now - timedelta(seconds=16))
    assert certain <= set(found) <= every_tick(world.now)


def live(world: World, seconds: int, limit: int | None) -> None:
    for _ in range(seconds):
        world.now += timedelta(seconds=1)
        world.reconcile()
        running = [
            run
            for run in world.all("FlowRun")
            if run["status"]["phase"] in ("Pending", "Fetching", "Running")
        ]
        assert limit is None or len(running) <= limit


@given(
    steps=st.lists(STEP, min_size=1, max_size=14),
    policy=st.sampled_from(["Forbid", "Replace"]),
    catch_up=st.sampled_from(["none", "latest", "all"]),
)
@settings(max_examples=40, deadline=None)
def test_no_tick_runs_twice_and_no_limit_is_passed(
    steps: list[tuple[str, int]], policy: str, catch_up: str
) -> None:
    """Whatever the policies drop, they double nothing, and one run at a time stays one."""
    world = World()
    world.put(
        deployment(
            schedules=SCHEDULES,
            catchUp=catch_up,
            concurrencyPolicy=policy,
            successfulRunsHistoryLimit=0,
        )
    )
    for step, number in steps:
        if step == "wait":
            world.now += timedelta(seconds=number)
        elif step == "end":
            end_runs(world)
        elif step == "suspend":
            world.edit(suspend=bool(number))
        elif step == "edit":
            world.edit(parameters={"n": number})
        else:
            world.budget = number if step == "die" else None
            world.now += timedelta(seconds=20 if step == "die" else 0)
            with suppress(KilledError):
                live(world, min(number, 10) or 1, 1)
            world.budget = None
    live(world, 3, 1)
    world.edit(suspend=False)
    live(world, 3, 1)
    end_runs(world)
    world.reconcile()
    found = made(world)
    assert len(found) == len(set(found))
    assert set(found) <= every_tick(world.now)
