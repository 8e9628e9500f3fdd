"""The judges of a storm see what is wrong, and nothing where all is well."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from tests.e2e.chaos import exact, policies
from tests.e2e.chaos.aftermath import Aftermath, Times
from tests.e2e.chaos.record import Record, Run, State
from tests.e2e.chaos.workload import EXACT, PULSE, Flow, Timer, text_of

T0 = 1_795_400_000 // 60 * 60
END = T0 + 60
SUSPENDED = END + 1

Object = dict[str, Any]


def flow(name: str = "etl", every: int = 10, **spec: Any) -> Flow:
    return Flow(name, (Timer("fast", every),), spec)


class World:
    """An aftermath of one minute in which every tick was run at once, to take things away from."""

    def __init__(self, *flows: Flow) -> None:
        self.flows = [Flow(PULSE, (Timer("fast", 1),), EXACT), *flows]
        self.runs: list[Object] = []
        self.handled: dict[str, list[tuple[int, int]]] = {}
        self.events: list[Object] = []
        self.gone: list[Object] = []
        self._numbers = count(1)
        for made in self.flows:
            for tick in made.timers[0].ticks(T0, END):
                self.runs.append(self.run(made, tick))
                self.handled.setdefault(made.name, []).append((tick, tick))

    def run(self, of: Flow, tick: int, *, seconds: int = 1, late: int = 0) -> Object:
        uid = f"uid-{next(self._numbers)}"
        attempt = {"number": 1, "jobName": f"job-{uid}", "jobUID": f"job-{uid}"}
        return {
            "metadata": _meta(f"{of.name}-{tick}", uid, tick + late, f"uid-{of.name}"),
            "spec": {
                "deploymentRef": {"name": of.name},
                "trigger": {
                    "type": "Schedule", "schedule": "fast", "scheduledTime": text_of(tick)
                },
            },
            "status": {
                "phase": "Succeeded",
                "resolvedSpec": {"x": 1},
                "completionTime": text_of(tick + late + seconds),
                "attempts": [attempt],
            },
        }  # fmt: skip

    def one(self, of: Flow, number: int = 1) -> Object:
        """A run of a deployment."""
        return [run for run in self.runs if run["spec"]["deploymentRef"]["name"] == of.name][number]

    def take(self, of: Flow, number: int = 1) -> int:
        """Take a run away, as if it had never been; return its tick."""
        run = self.one(of, number)
        self.runs.remove(run)
        return Run.of(run).tick

    def aftermath(self) -> Aftermath:
        record = Record()
        for name, steps in self.handled.items():
            for seen, until in steps:
                status = {"schedules": [{"name": "fast", "handledUntil": text_of(until)}]}
                found = {"metadata": _meta(name, f"uid-{name}", T0), "status": status}
                record.states["FlowDeployment"].append(State(seen, found))
        timed = []
        for run in [*self.runs, *self.gone]:
            known = Run.of(run)
            ended = known.created + 1 if not known.ended else _unix(known.ended)
            running = {**run, "status": {**run["status"], "phase": "Running"}}
            running["status"].pop("completionTime", None)
            timed += [(known.created, 1, State(known.created, running))]
            timed += [(ended, 0, State(ended, run))]
        timed += [(_unix(Run.of(run).ended), 2, State(END, run, gone=True)) for run in self.gone]
        record.states["FlowRun"] = [state for *_, state in sorted(timed, key=lambda item: item[:2])]
        jobs = [
            {
                "kind": "Job",
                "metadata": _meta(a["jobName"], a["jobUID"], T0, run["metadata"]["uid"]),
            }
            for run in self.runs
            for a in run["status"]["attempts"]
        ]
        for job in jobs:
            job["metadata"]["labels"] = {"flow-operator.io/attempt": "1"}
        pods = [
            {"metadata": _meta(f"pod-{job['metadata']['name']}", "pod", T0, job["metadata"]["uid"])}
            for job in jobs
        ]
        last = {
            name: {
                "metadata": _meta(name, f"uid-{name}", T0),
                "status": {
                    "schedules": [
                        {
                            "name": "fast",
                            "handledUntil": text_of(steps[-1][1]),
                            "lastScheduleTime": text_of(steps[-1][1]),
                        }
                    ]
                },
            }
            for name, steps in self.handled.items()
        }
        return Aftermath(
            record=record, struck=Counter(), windows=[], hits=[], created={},
            prompt=frozenset({(PULSE, "fast")}), times=Times(END, END, SUSPENDED), problems=[],
            runs=[Run.of(run) for run in self.runs], jobs=jobs, pods=pods,
            deployments=last, events=self.events,
        )  # fmt: skip


def _meta(name: str, uid: str, created: int, owner: str = "") -> Object:
    meta: Object = {"name": name, "uid": uid, "creationTimestamp": text_of(created)}
    if owner:
        meta["ownerReferences"] = [{"uid": owner, "controller": True}]
    return meta


def _unix(text: str) -> int:
    return policies.unix(text)


KEEP: Object = {"successfulRunsHistoryLimit": 1000, "failedRunsHistoryLimit": 1000}
FORBID = flow(concurrencyPolicy="Forbid", **KEEP)
ALLOW = flow(**KEEP)


@pytest.mark.parametrize("of", [ALLOW, FORBID, flow(concurrencyPolicy="Enqueue", **KEEP)])
def test_all_is_well(of: Flow) -> None:
    """A minute in which every tick was run at once is fine by both judges."""
    after = World(of).aftermath()
    assert policies.judge(after, [of]) == []
    assert exact.judge(after, World().flows) == []


def with_plan(*flows: Flow) -> Aftermath:
    """All is well, and a run that was made ahead of its tick was deleted again."""
    world = World(*flows)
    after = world.aftermath()
    plan = world.run(world.flows[-1], END + 10, late=-15)
    plan["metadata"] |= {
        "uid": "uid-plan",
        "annotations": {"flow-operator.io/made-ahead": "0123456789"},
    }
    plan["status"] = {"phase": "Scheduled"}
    for gone in (False, True):
        after.record.states["FlowRun"].append(State(END, plan, gone=gone))
    return after


def test_a_run_made_ahead_may_be_deleted() -> None:
    """Until it begins it does not count."""
    after = with_plan(ALLOW)
    assert policies.judge(after, [ALLOW]) == []
    assert exact.judge(with_plan(), World().flows) == []


def test_a_run_made_ahead_that_has_a_job_may_not_be_deleted() -> None:
    """Whatever it says of itself."""
    after = with_plan()
    after.created["Job", "uid-plan/1"] = {"uid-job"}
    (problem,) = exact.judge(after, World().flows)
    assert "was deleted" in problem


def test_a_run_that_begins_before_its_tick() -> None:
    """It was made ahead, and somebody did not wait."""
    world = World(ALLOW)
    for run in (world.one(ALLOW), world.one(world.flows[0])):
        run["metadata"]["annotations"] = {"flow-operator.io/made-ahead": "0123456789"}
        run["status"]["startTime"] = text_of(Run.of(run).tick - 3)
    (problem,) = policies.judge(world.aftermath(), [ALLOW])
    assert "began 3 s before its tick" in problem
    (problem,) = exact.judge(world.aftermath(), world.flows[:1])
    assert "began 3 s before its tick" in problem


def test_a_tick_that_somebody_could_have_run() -> None:
    """While others act in time, no tick is missed."""
    world = World(ALLOW)
    tick = world.take(ALLOW)
    world.handled["etl"] = [(tick + 10, tick + 10), *world.handled["etl"][3:]]
    (problem,) = policies.judge(world.aftermath(), [ALLOW])
    assert f"no FlowRun for the tick of {text_of(tick)}" in problem


def missed(world: World) -> int:
    """Miss a tick with an Event, while nobody acts."""
    tick = world.take(ALLOW)
    world.handled["etl"] = [(tick + 10, tick + 10), *world.handled["etl"][3:]]
    pulse = world.flows[0]
    for number, run in enumerate(world.runs):
        at = Run.of(run).tick
        if Run.of(run).deployment == PULSE and tick - 5 < at < tick + 10:
            world.runs[number] = world.run(pulse, at, late=tick + 10 - at)
    said = f"Schedule fast: the tick of {text_of(tick)} passed without a run. What becomes"
    world.events.append(
        {"reason": "TicksMissed", "message": said, "involvedObject": {"name": "etl"}}
    )
    return tick


def test_a_tick_that_nobody_could_have_run() -> None:
    """A tick may be missed while all others are late."""
    world = World(ALLOW)
    missed(world)
    after = world.aftermath()
    assert policies.judge(after, [ALLOW]) == []
    assert policies.fates(after, [ALLOW])["missed"] == 1


def test_a_missed_tick_that_catch_up_would_have_run() -> None:
    """With catchUp: all no tick is missed, whoever was away."""
    every = flow(catchUp="all", **KEEP)
    world = World(every)
    missed(world)
    assert len(policies.judge(world.aftermath(), [every])) == 1


def test_the_last_tick_is_run_once_somebody_is_back() -> None:
    """Of the ticks that passed the last is not missed."""
    world = World(ALLOW)
    tick = missed(world)
    world.runs.remove(next(run for run in world.runs if Run.of(run).tick == tick + 10
                           and Run.of(run).deployment == "etl"))  # fmt: skip
    (problem,) = policies.judge(world.aftermath(), [ALLOW])
    assert text_of(tick + 10) in problem


def skipped(world: World, *, told: bool) -> None:
    """Have a run go on while the next tick passes."""
    tick = world.take(FORBID, 2)
    before = world.one(FORBID, 1)
    world.runs[world.runs.index(before)] = world.run(FORBID, Run.of(before).tick, seconds=15)
    if told:
        said = f"No run for {text_of(tick)} of schedule fast: concurrencyPolicy: Forbid"
        world.events.append(
            {"reason": "TickSkipped", "message": said, "involvedObject": {"name": "etl"}}
        )


@pytest.mark.parametrize("told", [True, False])
def test_a_skipped_tick_is_told(told: bool) -> None:
    """With Forbid a tick is skipped while there is a run, with an Event."""
    world = World(FORBID)
    skipped(world, told=told)
    assert len(policies.judge(world.aftermath(), [FORBID])) == (0 if told else 1)


def test_a_tick_is_not_skipped_without_another_run() -> None:
    """Forbid is no reason while nothing runs."""
    world = World(FORBID)
    world.take(FORBID)
    assert len(policies.judge(world.aftermath(), [FORBID])) == 1


def test_two_at_a_time() -> None:
    """More runs at a time than there may be are seen, though both have ended since."""
    world = World(FORBID)
    before = world.one(FORBID, 1)
    world.runs[world.runs.index(before)] = world.run(FORBID, Run.of(before).tick, seconds=15)
    assert any("more than 1 at a time" in p for p in policies.judge(world.aftermath(), [FORBID]))


def test_a_tick_that_ran_twice() -> None:
    """A second run of a tick is seen, though the first one was deleted before it was made."""
    world = World(ALLOW)
    first = world.run(ALLOW, Run.of(world.one(ALLOW)).tick)
    world.gone.append(first)
    assert any("2 FlowRuns for the tick" in p for p in policies.judge(world.aftermath(), [ALLOW]))


def test_a_history_that_is_too_long_or_too_short() -> None:
    """What is kept are the newest runs, as many as may be."""
    short = flow(successfulRunsHistoryLimit=3)
    world = World(short)
    assert any("are kept" in p for p in policies.judge(world.aftermath(), [short]))
    etl = [run for run in world.runs if Run.of(run).deployment == "etl"]
    world.gone, world.runs = etl[:-3], [run for run in world.runs if run not in etl[:-3]]
    assert policies.judge(world.aftermath(), [short]) == []
    world.gone, world.runs = etl[:-2], [run for run in world.runs if run not in etl[:-2]]
    assert any("are kept" in p for p in policies.judge(world.aftermath(), [short]))


def test_a_schedule_that_stands_still() -> None:
    """Ticks after the last that was dealt with are missed, too."""
    world = World(ALLOW)
    for _ in range(3):
        world.take(ALLOW, -1)
    world.handled["etl"] = world.handled["etl"][:-3]
    (problem,) = policies.judge(world.aftermath(), [ALLOW])
    assert "nobody has dealt with" in problem


def test_the_exact_judge_misses_nothing() -> None:
    """Ticks without runs, runs without Jobs, Jobs without runs, and failures are seen."""
    of = Flow("every", (Timer("fast", 10),), EXACT)
    world = World(of)
    assert exact.judge(world.aftermath(), [of]) == []
    tick = world.take(of)
    world.one(of, 2)["status"]["phase"] = "Failed"
    after = world.aftermath()
    lost, twin = after.jobs[-1], {**after.jobs[-2], "metadata": {**after.jobs[-2]["metadata"]}}
    stray = {**lost, "metadata": {**lost["metadata"], **_meta("stray", "stray", T0, "nobody")}}
    twin["metadata"]["uid"] = "twin"
    after = replace(after, jobs=[*after.jobs[:-1], stray, twin])
    found = "\n".join(exact.judge(after, [of]))
    assert f"no FlowRun for the tick of {text_of(tick)}" in found
    assert "is Failed" in found
    assert "0 Jobs, which are not those of its 1 attempts" in found
    assert "2 Jobs for attempt 1" in found
    assert "Job stray is an orphan" in found
    assert f"Pod pod-{lost['metadata']['name']} is an orphan" in found
