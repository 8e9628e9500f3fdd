"""Schedules make one run a tick: on time, late or never."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow_operator.core.ahead import LEAD_SECONDS, SPREAD_SECONDS
from flow_operator.core.decision import CreateRun, Refusal, WriteStatus
from flow_operator.core.deployments import decide_deployment
from tests.unit.core.scheduled import EVERY_MINUTE, MINUTE, at, end_runs, phases, ticks, world_with
from tests.unit.core.world import (
    T0,
    KilledError,
    World,
    deployment,
    flow_run,
    is_plan,
    stamp,
)


def test_applying_schedules_runs_nothing_before_a_tick() -> None:
    """With schedules, runOn is empty unless it is set."""
    world = world_with()
    assert world.all("FlowRun") == []
    status = world.one("FlowDeployment")["status"]
    assert status["schedule"] == "* * * * *"
    assert status["nextScheduleTime"] == stamp(T0 + MINUTE)
    assert "lastScheduleTime" not in status


def test_a_tick_makes_one_run_that_knows_it() -> None:
    """The run has the tick's time and the schedule's parameters; the next tick is announced."""
    schedule = {**EVERY_MINUTE, "parameters": {"full": True}}
    world = world_with(schedules=[schedule], parameters={"full": False, "day": 1})
    at(world, T0 + MINUTE + timedelta(seconds=1))
    at(world, T0 + MINUTE + timedelta(seconds=2))
    run = world.one("FlowRun")
    assert run["spec"]["trigger"] == {
        "type": "Schedule",
        "schedule": "often",
        "scheduledTime": stamp(T0 + MINUTE),
    }
    assert run["status"]["resolvedSpec"]["parameters"] == {"full": True, "day": 1}
    (container,) = world.one("Job")["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert env["FLOW_SCHEDULED_TIME"] == "2026-11-23T06:01:00Z"
    assert env["FLOW_SCHEDULE"] == "often"
    status = world.one("FlowDeployment")["status"]
    assert status["lastScheduleTime"] == stamp(T0 + MINUTE)
    assert status["nextScheduleTime"] == stamp(T0 + 2 * MINUTE)
    assert status["active"] == [{"name": run["metadata"]["name"]}]


def test_the_next_look_is_at_the_next_tick() -> None:
    """No timer of its own: the decision says in how many seconds something is due."""
    schedule = {"name": "x", "interval": {"every": "1h", "anchor": stamp(T0)}}
    world = world_with(schedules=[schedule], concurrencyPolicy="Forbid")
    raw = world.one("FlowDeployment")
    assert decide_deployment(raw, [], T0 + 10 * MINUTE).requeue_after == 3000.0


@pytest.mark.parametrize(
    ("catch_up", "deadline", "wanted"),
    [
        ("latest", None, ["06:30:00"]),
        ("latest", 20, []),
        ("none", None, ["06:30:00"]),
        ("none", 20, []),
        ("all", None, [f"06:{minute:02}:00" for minute in range(1, 31)]),
        ("all", 150, ["06:28:00", "06:29:00", "06:30:00"]),
        ("all", 149, ["06:29:00", "06:30:00"]),
    ],
)
def test_catching_up(catch_up: str, deadline: int | None, wanted: list[str]) -> None:
    """After half an hour without an operator, at 06:30:30."""
    spec: dict[str, Any] = {"catchUp": catch_up}
    if deadline:
        spec["startingDeadlineSeconds"] = deadline
    world = world_with(**spec)
    at(world, T0 + timedelta(minutes=30, seconds=30))
    assert ticks(world) == wanted
    at(world, T0 + timedelta(minutes=30, seconds=59))
    assert ticks(world) == wanted


def test_none_gives_up_what_is_a_minute_late() -> None:
    """With catchUp: none a tick is run when it is on time, or nearly."""
    world = world_with(schedules=[{"name": "x", "cron": "0 * * * *"}], catchUp="none")
    at(world, T0 + timedelta(minutes=61, seconds=1))
    assert ticks(world) == []
    at(world, T0 + timedelta(minutes=120, seconds=59))
    assert ticks(world) == ["08:00:00"]


def test_a_deployment_that_nobody_saw_is_caught_up_from_its_creation() -> None:
    """Created while the operator was down, it has missed ticks, too."""
    world = World()
    world.put(deployment(schedules=[EVERY_MINUTE]))
    at(world, T0 + timedelta(minutes=5, seconds=30))
    assert ticks(world) == ["06:05:00"]


def test_suspended_ticks_are_caught_up_or_not() -> None:
    """Resuming runs the last missed tick; with catchUp: none it runs none."""
    for catch_up, wanted in (("latest", ["06:05:00"]), ("none", [])):
        world = world_with(suspend=True, catchUp=catch_up)
        at(world, T0 + timedelta(minutes=5, seconds=5))
        assert ticks(world) == []
        assert "nextScheduleTime" not in world.one("FlowDeployment")["status"]
        world.edit(suspend=False)
        world.reconcile()
        assert ticks(world) == wanted


def test_one_schedule_can_be_suspended() -> None:
    """The others go on."""
    world = world_with(
        schedules=[{**EVERY_MINUTE, "suspend": True}, {"name": "b", "cron": "* * * * *"}]
    )
    at(world, T0 + MINUTE)
    assert [run["spec"]["trigger"]["schedule"] for run in world.all("FlowRun")] == ["b"]


def test_suspending_leaves_running_ones() -> None:
    """Nothing is stopped by it."""
    world = world_with()
    at(world, T0 + MINUTE)
    world.edit(suspend=True)
    at(world, T0 + 3 * MINUTE)
    assert phases(world) == ["Pending"]
    assert "suspend" not in world.one("Job")["spec"]


def edit(world: World, moment: datetime, **spec: Any) -> None:
    """Edit as the API server does it, which records when, and what else others changed later."""
    world.edit(**spec)
    raw = world.one("FlowDeployment")
    fields = {"kubectl": "f:spec", "kubectl-annotate": "f:metadata", "flow": "f:status"}
    raw["metadata"]["managedFields"] = [
        {"manager": manager, "fieldsV1": {field: {}}, "time": stamp(moment + n * MINUTE)}
        for n, (manager, field) in enumerate(fields.items())
    ]


def test_a_changed_schedule_takes_effect_at_once() -> None:
    """Its ticks count from the edit: none from before it, all from then on."""
    world = world_with(schedules=[{"name": "often", "cron": "0 0 1 1 *"}])
    world.now = T0 + timedelta(minutes=9, seconds=30)
    edit(world, T0 + timedelta(minutes=5, seconds=30), schedules=[EVERY_MINUTE], catchUp="all")
    world.reconcile()
    assert ticks(world) == ["06:06:00", "06:07:00", "06:08:00", "06:09:00"]
    edit(world, world.now, schedules=[{**EVERY_MINUTE, "cron": "*/5 * * * *"}])
    at(world, T0 + timedelta(minutes=11))
    assert ticks(world)[4:] == ["06:10:00"]


def test_an_edit_that_changes_no_tick_forgets_none() -> None:
    """Parameters or jitter are no new schedule."""
    world = world_with()
    world.now = T0 + 3 * MINUTE
    edit(world, world.now, schedules=[{**EVERY_MINUTE, "parameters": {"a": 1}}])
    world.reconcile()
    assert ticks(world) == ["06:03:00"]


def test_an_invalid_schedule_says_so_and_the_others_go_on() -> None:
    """Ready names field and remedy; mended, the schedule goes on from where it was."""
    wrong = {"name": "wrong", "cron": "99 * * * *"}
    world = world_with(schedules=[wrong, EVERY_MINUTE])
    ready, stalled = (world.condition("FlowDeployment", kind) for kind in ("Ready", "Stalled"))
    assert ready is not None
    assert stalled is not None
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "spec.schedules[0].cron: '99 * * * *' cannot be followed" in ready["message"]
    assert "such as" in ready["message"]
    at(world, T0 + MINUTE)
    assert ticks(world) == ["06:01:00"]
    world.edit(schedules=[{**wrong, "cron": "* * * * *"}, EVERY_MINUTE])
    world.reconcile()
    assert world.condition("FlowDeployment", "Stalled") is None
    at(world, T0 + 2 * MINUTE)
    assert ticks(world) == ["06:01:00", "06:02:00", "06:02:00"]


def test_removing_the_schedules_runs_nothing() -> None:
    """And later edits run again."""
    world = world_with()
    world.edit(schedules=None)
    world.reconcile()
    assert world.all("FlowRun") == []
    world.edit(parameters={"a": 1})
    world.reconcile()
    assert len(world.all("FlowRun")) == 1


def test_adding_schedules_runs_nothing() -> None:
    """Edits run nothing then, unless runOn says so."""
    world = World()
    world.put(deployment())
    world.reconcile()
    world.edit(schedules=[{"name": "x", "cron": "0 0 1 1 *"}])
    world.reconcile()
    world.edit(parameters={"a": 1})
    world.reconcile()
    assert len(world.all("FlowRun")) == 1
    world.edit(runOn=["SpecChange"], parameters={"a": 2})
    world.reconcile()
    assert len(world.all("FlowRun")) == 2


def test_no_tick_runs_twice_after_its_run_is_gone() -> None:
    """Neither history limit nor time to live frees a name whose tick could come back."""
    for spec in ({"successfulRunsHistoryLimit": 0}, {"ttlSecondsAfterFinished": 0}):
        world = world_with(catchUp="all", **spec)
        for minute in range(1, 6):
            at(world, T0 + timedelta(minutes=minute))
            end_runs(world)
        assert len(world.all("FlowRun")) == 0
        assert ticks(world) == [f"06:0{minute}:00" for minute in range(1, 6)]


def test_a_run_whose_tick_is_not_on_record_is_kept() -> None:
    """Killed after creating a run, and suspended meanwhile: the run stays until it is on record."""
    world = world_with(successfulRunsHistoryLimit=0, catchUp="all")
    before = world.one("FlowDeployment")["status"]
    at(world, T0 + MINUTE)
    world.one("FlowDeployment")["status"] = {**before, "active": []}
    world.edit(suspend=True)
    end_runs(world)
    assert len(world.all("FlowRun")) == 1
    world.edit(suspend=False)
    world.reconcile()
    assert ticks(world) == ["06:01:00"]
    assert world.all("FlowRun") == []


def test_time_to_live() -> None:
    """A finished run of ours goes after that many seconds, and somebody's own never."""
    world = world_with(ttlSecondsAfterFinished=90)
    world.put(flow_run())
    at(world, T0 + MINUTE)
    end_runs(world)
    raw = world.one("FlowDeployment")
    runs = world.runs()
    wait = decide_deployment(raw, runs, world.now).requeue_after
    assert wait is not None
    assert 60 - LEAD_SECONDS - SPREAD_SECONDS < wait <= 60 - LEAD_SECONDS
    world.edit(suspend=True)
    assert decide_deployment(raw, runs, world.now).requeue_after == 90.0
    at(world, T0 + timedelta(minutes=2, seconds=30))
    assert [run["metadata"]["name"] for run in world.all("FlowRun")] == ["etl-manual"]


def test_jitter_spreads_runs_and_keeps_their_ticks() -> None:
    """Each tick has its own delay, always the same one, and no tick is lost or overtaken."""
    schedule = {**EVERY_MINUTE, "jitter": "50s"}
    made: dict[str, timedelta] = {}
    world = world_with(schedules=[schedule])
    for second in range(0, 1200, 5):
        at(world, T0 + timedelta(seconds=second))
        for run in world.all("FlowRun"):
            tick = run["spec"]["trigger"]["scheduledTime"]
            made.setdefault(tick, world.now - datetime.fromisoformat(tick))
        end_runs(world)
    assert len(made) in (18, 19)
    assert all(timedelta() <= late <= timedelta(seconds=55) for late in made.values())
    assert len(set(made.values())) > 5


def test_there_is_an_end_to_what_piles_up() -> None:
    """A deployment has at most 200 unfinished runs; its ticks wait, and none is lost."""
    world = world_with(schedules=[{"name": "x", "interval": {"every": "1s"}}], catchUp="all")
    world.now = T0 + timedelta(seconds=250)
    for _ in range(12):
        world.deployments_only()
    assert len(world.made) == 200
    for run in world.all("FlowRun"):
        run["status"] = {"phase": "Succeeded", "completionTime": stamp(world.now)}
    world.edit(successfulRunsHistoryLimit=1000)
    for _ in range(12):
        world.deployments_only()
    assert len(world.ticks) == len(set(world.ticks)) == 250


def test_a_year_without_an_operator_is_no_flood() -> None:
    """One pass creates few runs, takes little time, and says that there is more."""
    world = world_with(schedules=[EVERY_MINUTE], catchUp="all")
    raw = world.one("FlowDeployment")
    started = datetime.now(UTC)
    decision = decide_deployment(raw, [], T0 + timedelta(days=365))
    assert datetime.now(UTC) - started < timedelta(seconds=1)
    assert len([a for a in decision.actions if isinstance(a, CreateRun)]) == 20
    assert decision.requeue_after == 0.0


def test_missed_ticks_are_told() -> None:
    """An Event says which ticks passed without a run, once."""
    world = world_with()
    at(world, T0 + timedelta(minutes=30, seconds=30))
    at(world, T0 + timedelta(minutes=30, seconds=40))
    (event,) = [event for event in world.events if event.reason == "TicksMissed"]
    assert "from 2026-11-23T06:01:00Z to before 2026-11-23T06:30:00Z" in event.message


def test_more_ticks_than_a_pass_takes_go_on_record_before_the_next_pass() -> None:
    """The next pass begins where the record says: it is not left for when there is less to do."""
    raw = deployment(schedules=[{"name": "fast", "interval": {"every": "1s"}}], catchUp="all")
    few = decide_deployment(raw, [], T0 + timedelta(seconds=5))
    made = [act.manifest for act in few.actions if isinstance(act, CreateRun)]
    assert few.pressing == 5 == len([manifest for manifest in made if not is_plan(manifest)])
    many = decide_deployment(raw, [], T0 + timedelta(seconds=500))
    assert many.pressing is None


def test_the_last_tick_is_known_although_it_went_on_record_late() -> None:
    """Killed after it made the first run, the operator finds it and says when that was due."""
    world = World()
    world.put(deployment(schedules=[EVERY_MINUTE]))
    world.now = T0 + MINUTE
    world.budget = 1
    with suppress(KilledError):
        world.deployments_only()
    world.budget = None
    at(world, T0 + MINUTE + timedelta(seconds=5))
    assert ticks(world) == ["06:01:00"]
    (record,) = world.one("FlowDeployment")["status"]["schedules"]
    assert record["lastScheduleTime"] == record["handledUntil"] == stamp(T0 + MINUTE)


def test_refused_run_is_tried_again_and_its_tick_kept() -> None:
    """A quota on FlowRuns, or a stranger's of that name, delays a tick and says so."""
    world = world_with()
    raw, late = world.one("FlowDeployment"), T0 + MINUTE
    refusal = Refusal("AdmissionDenied", "exceeded quota", final=False)
    decision = decide_deployment(raw, [], late, refusal)
    (write,) = [action for action in decision.actions if isinstance(action, WriteStatus)]
    assert write.status["conditions"][0]["reason"] == "AdmissionDenied"
    assert write.status["schedules"][0]["handledUntil"] == stamp(T0)
    assert decision.requeue_after == 30.0


def test_backfill_takes_the_parameters_of_its_schedule() -> None:
    """A FlowRun for a tick of the past: the schedule's parameters, and its own above them."""
    world = world_with(
        schedules=[{"name": "x", "cron": "0 0 1 1 *", "parameters": {"a": 1, "b": 1}}]
    )
    trigger = {"type": "Backfill", "schedule": "x", "scheduledTime": "2025-01-01T01:00:00+01:00"}
    world.put(flow_run("backfill", trigger=trigger, parameters={"b": 2}))
    world.put(flow_run("wrong", trigger={**trigger, "scheduledTime": "2025-02-30T00:00:00Z"}))
    world.reconcile()
    run = world.objects["FlowRun", "backfill"]
    assert run["status"]["resolvedSpec"]["parameters"] == {"a": 1, "b": 2}
    (container,) = world.one("Job")["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert env["FLOW_SCHEDULED_TIME"] == "2025-01-01T00:00:00Z"
    wrong = world.objects["FlowRun", "wrong"]["status"]["conditions"][0]
    assert wrong["reason"] == "InvalidSpec"
    assert "spec.trigger.scheduledTime" in wrong["message"]
