"""Two processes never lead at the same time, whatever becomes of them and their requests."""

from __future__ import annotations

import asyncio
import heapq
import logging
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flow_operator.core.election import Election, Terms
from flow_operator.shell.cluster import Cluster
from flow_operator.shell.config import LeaseConfig
from flow_operator.shell.errors import (
    AlreadyExistsError,
    ClusterError,
    ConflictError,
    NotFoundError,
)
from flow_operator.shell.lease import Leadership

CONFIG = LeaseConfig("system", "operator", 8)
CHAOS_SECONDS = 60.0
CALM_SECONDS = 25.0

Manifest = dict[str, Any]


class Request(NamedTuple):
    """What a candidate asks of the API server."""

    verb: str
    lease: Manifest | None = None


class Fate(NamedTuple):
    """What becomes of one request, and of the process that waits for it; in seconds."""

    there: float
    back: float
    rest: float
    lost: str
    patient: bool


class Step(NamedTuple):
    """What somebody does to a process."""

    at: float
    process: int
    what: str


CALM = Fate(0.01, 0.01, 0.0, "", False)


@types.coroutine
def _ask(request: Request) -> Generator[Request, Any, Any]:
    return (yield request)


class Wire:
    """In place of a `Cluster`: every request is handed to whoever drives the coroutine."""

    async def find(self, *_: object) -> Manifest | None:
        return cast("Manifest | None", await _ask(Request("find")))

    async def create(self, _: object, lease: Manifest) -> Manifest:
        return cast("Manifest", await _ask(Request("create", lease)))

    async def replace(self, _: object, lease: Manifest) -> Manifest:
        return cast("Manifest", await _ask(Request("replace", lease)))


@dataclass
class Server:
    """An API server with one Lease and compare-and-swap."""

    lease: Manifest | None = None
    versions: Any = field(default_factory=lambda: count(1))

    def answer(self, request: Request) -> Manifest | Exception | None:
        if request.verb == "find":
            return self.lease
        assert request.lease
        wanted = request.lease["metadata"].get("resourceVersion")
        if request.verb == "create":
            if self.lease:
                return AlreadyExistsError("it is there")
        elif self.lease is None:
            return NotFoundError("it is gone")
        elif self.lease["metadata"]["resourceVersion"] != wanted:
            return ConflictError("it has changed")
        meta = {"uid": "u", "resourceVersion": str(next(self.versions))}
        self.lease = {**request.lease, "metadata": request.lease["metadata"] | meta}
        return self.lease


@dataclass
class Process:
    """A candidate with a clock of its own, which is neither right nor as fast as the others'."""

    world: World
    number: int
    rate: float
    lives: int = 0
    alive: bool = False

    def start(self) -> None:
        self.lives += 1
        self.alive = True
        cluster = cast("Cluster", Wire())
        name = f"p{self.number}-{self.lives}"
        self.leadership = Leadership(cluster, CONFIG, name, self.clock)
        self.turn(self.leadership)

    def clock(self) -> float:
        return 1000.0 * self.number + self.rate * self.world.now

    def stop(self) -> None:
        """End as after SIGTERM: the work is over, the Lease is released."""
        self.alive = False
        leadership = self.leadership
        leadership._election.resign()
        self.drive(leadership, leadership._release(), lambda: None)

    def turn(self, leadership: Leadership) -> None:
        if self.alive and self.leadership is leadership:
            turn = leadership.turn(lambda: True, lambda: None)
            self.drive(leadership, turn, lambda: self.rest(leadership))

    def rest(self, leadership: Leadership) -> None:
        pause = leadership._election.pause(self.clock()) / self.rate + self.world.fate().rest
        self.world.later(pause, lambda: self.turn(leadership))

    def drive(
        self,
        leadership: Leadership,
        steps: Coroutine[Any, Any, None],
        done: Callable[[], None],
    ) -> None:
        """Run a coroutine up to its end; its requests meet their fates."""

        def go(result: Any) -> None:
            if self.leadership is not leadership:
                return  # killed meanwhile
            try:
                if isinstance(result, Exception):
                    request = steps.throw(result)
                else:
                    request = steps.send(result)
            except (StopIteration, ClusterError, TimeoutError):
                done()
            else:
                self.world.deliver(request, go)

        go(None)


class World:
    """Events in their order, and a law that is looked at after each."""

    def __init__(self, fates: list[Fate], rates: list[float]) -> None:
        self.now = 0.0
        self.server = Server()
        self.processes = [Process(self, number, rate) for number, rate in enumerate(rates)]
        self.changes = 0
        self._fates = cycle(fates)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def fate(self) -> Fate:
        return next(self._fates) if self.now < CHAOS_SECONDS else CALM

    def later(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))

    def deliver(self, request: Request, go: Callable[[Any], None]) -> None:
        fate = self.fate()
        limit = CONFIG.seconds * 5 / 8
        answered = False

        def once(result: Any) -> None:
            nonlocal answered
            if not answered:
                answered = True
                go(result)

        def arrive() -> None:
            result = self.server.answer(request)
            if fate.lost != "answer":
                self.later(fate.back, lambda: once(result))

        if fate.lost != "request":
            self.later(fate.there, arrive)
        if fate.lost or not fate.patient:
            self.later(limit, lambda: once(TimeoutError()))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
            leaders = self.leaders()
            assert len(leaders) <= 1, f"{leaders} lead at {self.now}"
        self.now = until

    def leaders(self) -> list[str]:
        return [
            process.leadership.identity
            for process in self.processes
            if process.alive and process.leadership.leads()
        ]


SHORT = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2]
SECONDS = st.sampled_from([*SHORT, *SHORT, 1.0, 2.0, 2.9, 3.1, 4.9, 5.1, 8.1, 12.0, 20.0])
LOST = st.sampled_from(["", "", "", "", "request", "answer"])
FATES = st.lists(
    st.builds(Fate, SECONDS, SECONDS, SECONDS, LOST, st.booleans()), min_size=1, max_size=20
)
STEPS = st.lists(
    st.builds(Step, st.floats(0, CHAOS_SECONDS), st.integers(0, 2),
              st.sampled_from(["kill", "stop", "start"])),
    max_size=8,
)  # fmt: skip
RATES = st.lists(st.sampled_from([0.8, 0.9, 1.0, 1.1, 1.25]), min_size=2, max_size=3)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "flow_operator")


def live(fates: list[Fate], steps: list[Step], rates: list[float]) -> World:
    """A minute of chaos, then some calm."""
    world = World(fates, rates)
    for process in world.processes:
        process.start()
    for step in sorted(steps):
        world.run(step.at)
        process = world.processes[step.process % len(world.processes)]
        if step.what == "start" and not process.alive:
            process.start()
        elif step.what == "stop" and process.alive:
            process.stop()
        elif step.what == "kill":
            process.alive = False
            process.leadership = Leadership(cast("Cluster", Wire()), CONFIG, "dead")
    world.run(CHAOS_SECONDS)
    for process in world.processes:
        if not process.alive:
            process.start()
    world.run(CHAOS_SECONDS + 2 * max(sum(fate[:3]) for fate in fates) + CALM_SECONDS)
    return world


@given(FATES, STEPS, RATES)
@settings(max_examples=400)
def test_at_no_instant_two_lead_and_in_the_end_one_does(
    fates: list[Fate], steps: list[Step], rates: list[float]
) -> None:
    """Under any delays, losses, pauses and clocks; once they are over, somebody leads."""
    world = live(fates, steps, rates)
    assert len(world.leaders()) == 1


def answered(self: Election, lease: Manifest, _: float) -> None:
    won(self, lease, Planted.clock())


def unguarded(self: Server, request: Request) -> Manifest | Exception | None:
    if request.lease and self.lease and "resourceVersion" in request.lease["metadata"]:
        request.lease["metadata"]["resourceVersion"] = self.lease["metadata"]["resourceVersion"]
    return answer(self, request)


def hasty(self: Election, lease: Manifest | None, now: float) -> None:
    saw(self, lease, now - 5.0)


won, saw, answer = Election.won, Election.saw, Server.answer


class Planted:
    """The clock of whoever is at work, for a bug that reads it too late."""

    clock: Callable[[], float] = staticmethod(lambda: 0.0)


@pytest.mark.parametrize(
    ("where", "name", "bug"),
    [
        pytest.param(Terms, "deadline", 12.0, id="the deadline is later than the takeover"),
        pytest.param(Election, "won", answered, id="the deadline counts from the answer"),
        pytest.param(Server, "answer", unguarded, id="no resourceVersion guards the write"),
        pytest.param(Election, "saw", hasty, id="the wait counts from before it was seen"),
    ],
)
def test_planted_bugs_break_the_law(
    monkeypatch: pytest.MonkeyPatch, where: type, name: str, bug: Any
) -> None:
    """The law above would fail for an election that is wrong about time or writes blindly."""
    monkeypatch.setattr(where, name, bug)
    clock = Process.clock

    def noted(self: Process) -> float:
        Planted.clock = staticmethod(lambda: clock(self))
        return clock(self)

    monkeypatch.setattr(Process, "clock", noted)

    @given(FATES, STEPS, RATES)
    @settings(
        max_examples=2000, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def law(fates: list[Fate], steps: list[Step], rates: list[float]) -> None:
        live(fates, steps, rates)

    with pytest.raises(AssertionError, match="lead at"):
        law()


class Near:
    """A `Cluster` whose server is in this process, and can be out of reach."""

    def __init__(self) -> None:
        self.server = Server()
        self.out_of_reach = False

    async def find(self, *_: object) -> Manifest | None:
        return await self._ask(Request("find"))

    async def create(self, _: object, lease: Manifest) -> Manifest | None:
        return await self._ask(Request("create", lease))

    async def replace(self, _: object, lease: Manifest) -> Manifest | None:
        return await self._ask(Request("replace", lease))

    async def _ask(self, request: Request) -> Manifest | None:
        if self.out_of_reach:
            await asyncio.sleep(60)
        result = self.server.answer(request)
        if isinstance(result, Exception):
            raise result
        return result


@dataclass
class Runner:
    """A process that stands for election in real time, with a Lease of one second."""

    near: Near
    name: str
    fit: bool = True
    gains: int = 0

    async def __aenter__(self) -> Runner:
        config = LeaseConfig("system", "operator", 1)
        self.leadership = Leadership(cast("Cluster", self.near), config, self.name)
        self.task = asyncio.create_task(self.leadership.run(lambda: self.fit, self._gained))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    def _gained(self) -> None:
        self.gains += 1

    async def until(self, *, leads: bool) -> float:
        """Wait, and return how many seconds that took."""
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(10):
            while self.leadership.leads() is not leads:
                await asyncio.sleep(0.005)
        return asyncio.get_running_loop().time() - begun


async def test_a_released_lease_is_taken_over_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """The other looks every eighth of the lease, and does not wait for it to run out."""
    caplog.set_level(logging.INFO, "flow_operator")
    near = Near()
    async with Runner(near, "first") as first:
        await first.until(leads=True)
        async with Runner(near, "second") as second:
            await asyncio.sleep(0.5)
            assert not second.leadership.leads()
            await first.leadership.release()
            assert not first.leadership.leads()
            assert await second.until(leads=True) < 0.5
            await asyncio.sleep(0.5)
            assert (first.gains, second.gains) == (1, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "Leading: Lease system/operator is held by first",
        "Standing by: Lease system/operator is held by first",
        "Leading no longer: Lease system/operator was released",
        "Leading: Lease system/operator is held by second",
    ]


async def test_who_cannot_renew_stops_in_time_and_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says so once, and what waited meanwhile is done when it leads again."""
    caplog.set_level(logging.INFO, "flow_operator")
    near = Near()
    async with Runner(near, "only") as only:
        await only.until(leads=True)
        near.out_of_reach = True
        assert await only.until(leads=False) < 0.9
        await asyncio.sleep(0.5)
        assert only.gains == 1
        near.out_of_reach = False
        await only.until(leads=True)
        assert only.gains == 2
        assert only.leadership.silence() < 5.0
    said = [record.getMessage() for record in caplog.records]
    assert [words for words in said if "out of reach" not in words] == [
        "Leading: Lease system/operator is held by only",
        "Leading no longer: Lease system/operator could not be renewed",
        "Leading: Lease system/operator is held by only",
    ]
    assert len(said) <= 5


async def test_who_is_not_fit_leaves_the_lease_alone() -> None:
    """But it stands for it as soon as it is."""
    near = Near()
    async with Runner(near, "cold", fit=False) as cold:
        await asyncio.sleep(0.5)
        assert near.server.lease is None
        cold.fit = True
        await cold.until(leads=True)
        cold.fit = False
        await asyncio.sleep(1.0)
        assert cold.leadership.leads()
    assert cold.gains == 1
