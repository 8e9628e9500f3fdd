"""However late the watches are, a tick makes one run, and an attempt one Job."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_operator.core.names import tick_run_name
from flow_operator.core.settings import Settings
from flow_operator.shell import observe, reconciler
from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, WATCHED
from flow_operator.shell.keys import Key
from tests.unit.core.world import T0, deployment, is_plan
from tests.unit.shell.memory import KilledError, MemoryApi, Operator, jobs_by_run

SECONDS = 7
KINDS = [resource.kind for resource in WATCHED]

STEP = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 30), st.just("")),
    st.tuples(st.just("deliver"), st.integers(1, 40), st.sampled_from(KINDS)),
    st.tuples(st.just("list again"), st.just(0), st.sampled_from(KINDS)),
    st.tuples(st.just("work"), st.integers(0, 3), st.just("")),
    st.tuples(st.just("end"), st.integers(0, 1), st.just("")),
    st.tuples(st.just("edit"), st.integers(0, 99), st.just("")),
    st.tuples(st.just("die"), st.integers(0, 12), st.sampled_from(["before", "after"])),
    st.tuples(st.just("switch"), st.just(0), st.just("")),
)
"""What happens, a number, and a word that says more."""

Steps = list[tuple[str, int, str]]


def every_tick(until: datetime) -> set[str]:
    """The names of the runs of all ticks later than T0, by plain arithmetic."""
    anchor, step = datetime(2001, 1, 1, tzinfo=UTC), timedelta(seconds=SECONDS)
    tick = anchor + ((T0 - anchor) // step + 1) * step
    names = set()
    while tick <= until:
        names.add(tick_run_name("etl", "uid-etl", "fast", tick))
        tick += step
    return names


class Trial:
    """Two processes, one of which leads; the other takes over when it is told to."""

    def __init__(self, room: int | None = None, **spec: Any) -> None:
        self.settings = Settings(max_active_runs=room)
        self.api = MemoryApi()
        made = deployment(
            schedules=[{"name": "fast", "interval": {"every": f"{SECONDS}s"}}], **spec
        )
        self.api.put(FLOW_DEPLOYMENTS, made)
        self.leader, self.switched = 0, False
        self.operators = [self._operator(), self._operator()]
        counted = spec.get("concurrencyPolicy", "Allow") != "Allow"
        self.limit: int | None = spec.get("concurrencyLimit", 1) if counted else None

    def _operator(self) -> Operator:
        return Operator(self.api, lambda known: self.operators[self.leader] is known, self.settings)

    async def play(self, steps: Steps) -> None:
        for what, number, word in steps:
            match what:
                case "wait":
                    self.api.now += timedelta(seconds=number)
                case "deliver":
                    for operator in self.operators:
                        operator.deliver(word, number)
                case "list again":
                    self.operators[self.leader].list_again(word)
                case "work":
                    await self._work(number)
                case "end":
                    self.api.end_pods(fail=bool(number))
                case "edit":
                    [edited] = self.api.all(FLOW_DEPLOYMENTS)
                    edited["metadata"]["labels"] = {"edit": str(number)}
                    self.api.put(FLOW_DEPLOYMENTS, edited)
                case "die":
                    self.api.now += timedelta(seconds=SECONDS)
                    self.api.kill_after = (number, word == "after")
                    with suppress(KilledError):
                        await self._work(0)
                    if self.api.kill_after is None:
                        self.operators[self.leader].die()
                        self.operators[self.leader] = self._operator()
                    self.api.kill_after = None
                case "switch":  # nobody wrote for longer than a Lease lasts
                    self.api.now += timedelta(seconds=10)
                    self.leader, self.switched = 1 - self.leader, True
                    operator = self.operators[self.leader]
                    operator.enqueue(*operator.reconciler.take_over())

    async def _work(self, seed: int) -> None:
        def order(keys: list[Key]) -> list[Key]:
            return sorted(keys, key=lambda key: hash((key, seed)))

        for operator in self.operators:
            await operator.work(order)
        running = [
            run
            for run in self.api.all(FLOW_RUNS)
            if run.get("status", {}).get("phase") in ("Pending", "Fetching", "Running")
        ]
        assert self.limit is None or len(running) <= self.limit
        room = self.settings.max_active_runs
        assert room is None or self.switched or len(running) <= room

    async def settle(self, rounds: int = 12) -> None:
        """Let the watches catch up, and what they missed be found."""
        for _ in range(rounds):
            self.api.now += timedelta(seconds=2)
            self.api.end_pods()
            for operator in self.operators:
                for kind in KINDS:
                    operator.deliver(kind, 10_000)
                await operator.resync()
            await self._work(0)

    def check(self) -> None:
        """No run and no Job was made twice, and nothing hangs."""
        twice = {place for place, count in self.api.created.items() if count > 1}
        assert not twice
        for name, jobs in jobs_by_run(self.api):
            assert len(jobs) == len(set(jobs)), name
        hanging = [
            run["metadata"]["name"]
            for run in self.api.all(FLOW_RUNS)
            if "completionTime" not in (status := run.get("status", {}))
            and status.get("phase") != "Queued"
            and not self._is_waiting(run)
        ]
        assert len(hanging) <= (self.limit or 0) + 3, hanging

    @property
    def made(self) -> set[str]:
        """The names of all runs but those that wait for their tick."""
        waiting = {
            run["metadata"]["name"] for run in self.api.all(FLOW_RUNS) if self._is_waiting(run)
        }
        return {name for kind, name in self.api.created if kind == FLOW_RUNS.kind} - waiting

    def _is_waiting(self, run: dict[str, Any]) -> bool:
        return is_plan(run) and run["metadata"]["name"] not in every_tick(self.api.now)


def run_trial(steps: Steps, **spec: Any) -> Trial:
    async def play() -> Trial:
        trial = Trial(**spec)
        await trial.play(steps)
        await trial.settle()
        trial.check()
        return trial

    return asyncio.run(play())


@given(
    steps=st.lists(STEP, min_size=3, max_size=25),
    history=st.sampled_from(
        [{"successfulRunsHistoryLimit": 0}, {"ttlSecondsAfterFinished": 3}, {}]
    ),
    retries=st.sampled_from([{}, {"retries": {"limit": 1, "backoff": {"duration": "3s"}}}]),
)
@settings(max_examples=60, deadline=None)
def test_every_tick_has_one_run(
    steps: Steps, history: dict[str, Any], retries: dict[str, Any]
) -> None:
    """Late events, forgotten deletions, kills at any write, and changes of the leader."""
    trial = run_trial(steps, catchUp="all", **history, **retries)
    certain = every_tick(trial.api.now - timedelta(seconds=2))
    assert certain <= trial.made <= every_tick(trial.api.now)


@given(
    steps=st.lists(STEP, min_size=3, max_size=25),
    policy=st.sampled_from(["Forbid", "Replace", "Enqueue"]),
)
@settings(max_examples=60, deadline=None)
def test_no_limit_is_passed(steps: Steps, policy: str) -> None:
    """One run at a time stays one, though a process may not know of the one that runs."""
    trial = run_trial(steps, concurrencyPolicy=policy, successfulRunsHistoryLimit=0)
    assert trial.made <= every_tick(trial.api.now)


@given(
    steps=st.lists(STEP, min_size=3, max_size=12),
    room=st.integers(1, 2),
    policy=st.sampled_from([{}, {"concurrencyPolicy": "Enqueue", "concurrencyLimit": 2}]),
)
@settings(max_examples=40, deadline=None)
def test_room_is_used(steps: Steps, room: int, policy: dict[str, Any]) -> None:
    """Where an administrator limits runs, none waits for ever for what nobody uses."""

    async def play() -> None:
        trial = Trial(room, **policy)
        await trial.play(steps)
        await trial.settle()
        [last] = trial.api.all(FLOW_DEPLOYMENTS)
        last["spec"]["schedules"] = []
        trial.api.put(FLOW_DEPLOYMENTS, last)
        await trial.settle(len(trial.api.all(FLOW_RUNS)) + 18)
        trial.check()
        assert "Queued" not in {run["status"]["phase"] for run in trial.api.all(FLOW_RUNS)}
        assert len(trial.operators[trial.leader].room) == 0

    asyncio.run(play())


async def take_over_unknowing(**spec: Any) -> Trial:
    """A run is made, and ends unless it may not; then one takes over who has heard of nothing."""
    trial = Trial(**spec)
    first, second = trial.operators
    trial.api.now += timedelta(seconds=SECONDS + 1)
    for _ in range(3):
        await first.work()
        if "concurrencyPolicy" not in spec:
            trial.api.end_pods()
        for kind in KINDS:
            first.deliver(kind, 100)
        trial.api.now += timedelta(seconds=1)
    trial.api.now += timedelta(seconds=8)
    trial.leader = 1
    second.enqueue(*second.reconciler.take_over())
    await trial._work(0)
    return trial


async def test_a_leader_that_knows_nothing_yet_does_not_repeat_a_run() -> None:
    """The run of a tick has ended and is deleted before the new leader has heard of it."""
    trial = await take_over_unknowing(successfulRunsHistoryLimit=0, catchUp="all")
    trial.check()
    assert trial.made == every_tick(trial.api.now)


async def _trust(_: observe.Observer, *seen: Any) -> Any:
    return seen[-1]


@pytest.mark.parametrize("check", ["confirm_deployment", "_is_recent"])
async def test_it_would_without_a_read(monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    """The proof above would fail for an operator that trusts its store alone."""
    monkeypatch.setattr(observe.Observer, check, _trust)
    trial = await take_over_unknowing(successfulRunsHistoryLimit=0, catchUp="all")
    with pytest.raises(AssertionError):
        trial.check()


async def test_a_leader_counts_a_run_that_it_does_not_know() -> None:
    """The run has its place in the deployment's status, whoever has heard of it."""
    trial = await take_over_unknowing(concurrencyPolicy="Replace")
    assert trial.made == every_tick(trial.api.now)


async def test_it_would_not_if_it_took_it_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof above would fail for an operator that believes in what it does not know."""
    monkeypatch.setattr(observe, "lists_unknown_runs", lambda _: False)
    monkeypatch.setattr(reconciler, "lists_unknown_runs", lambda _: False)
    with pytest.raises(AssertionError):
        await take_over_unknowing(concurrencyPolicy="Replace")
