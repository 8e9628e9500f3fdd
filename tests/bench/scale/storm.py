"""Many deployments due in the same minute, and as many CronJobs, in turn.

Each time on an empty API server. Only one of them is there at a time, and only its controller runs:
that is how fast Jobs are made. With `+pods` the Job controller runs beside it, and makes their
Pods, which nobody schedules: it takes processor time from whoever makes the Jobs, as on a cluster.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median

from tests.bench.places import BenchError
from tests.bench.scale import objects
from tests.bench.scale.api import Api, Object, Seen
from tests.bench.scale.bench import Options, control_plane, say
from tests.bench.scale.figures import Judged, Section, percentile
from tests.bench.scale.operators import Operator, running
from tests.bench.scale.plane import DEFAULTS, LIFTED, Plane
from tests.bench.scale.usage import Meter
from tests.bench.tables import Row

_OURS, _THEIRS, _SLOW, _PODS = "flow-operator", "cronjobs-lifted", "cronjobs-default", "+pods"
_FLAGS = {_THEIRS: LIFTED, _SLOW: DEFAULTS}
_PEERS = (_OURS + _PODS, _THEIRS + _PODS, _OURS, _THEIRS, _SLOW)
_JOB_CONTROLLER = "job-controller"
_MOST_ROUNDS = {_SLOW: 1, _OURS + _PODS: 2, _THEIRS + _PODS: 2}
"""How often peers are measured that take long."""

_NAMESPACE = "storm"
_KINDS = ("CronJob", "FlowDeployment", "FlowRun", "Job", "Event")
_SPARE_SECONDS = 4.0
_AHEAD_SECONDS = 50.0
"""How long before the tick all has to be at rest, for the operator makes runs ahead of it."""
_PATIENCE = 400.0


@dataclass(frozen=True)
class Round:
    """One storm.

    Attributes:
        peer: Whose.
        seconds: From the tick to the arrival of each Job, in order.
        pods: The same of each Pod; none without the Job controller.
        ahead_cpu: Processor seconds of the controllers, `kube-apiserver` and `etcd`, from when all
            was at rest until shortly before the tick.
        cpu: The same from then until the last Job.
        whole_cpu: The same until nothing more was written.
        rest: Seconds from the tick until then.
        requests: How many were made until then, by verb and resource.
    """

    peer: str
    seconds: list[float]
    pods: list[float]
    ahead_cpu: dict[str, float]
    cpu: dict[str, float]
    whole_cpu: dict[str, float]
    rest: float
    requests: dict[str, int]


async def measure(options: Options) -> Section:
    """Run the rounds."""
    count, rounds = options.size(1000, 20), options.rounds or (1 if options.quick else 3)
    peers = [peer for peer in _PEERS if not options.peers or peer in options.peers]
    done: list[Round] = []
    for number in range(rounds):
        turn = number % len(peers)
        for peer in (*peers[turn:], *peers[:turn]):
            if number >= _MOST_ROUNDS.get(peer, rounds):
                continue
            say(f"storm, round {number + 1} of {rounds}: {count} of {peer}")
            async with control_plane() as (plane, api):
                await api.namespace(_NAMESPACE)
                done.append(await _storm(plane, api, options, peer, count))
            say(_words(done[-1]))
    return _section(done, count)


async def _storm(plane: Plane, api: Api, options: Options, peer: str, count: int) -> Round:
    lead = 15.0 if options.quick else 25.0 + count / 50
    name = peer.removesuffix(_PODS)
    beside = (_JOB_CONTROLLER,) if peer.endswith(_PODS) else ()
    spare = _SPARE_SECONDS
    if name == _OURS:
        lead, spare = lead + _AHEAD_SECONDS, _AHEAD_SECONDS
    while True:
        async with AsyncExitStack() as stack:
            pids = {component: plane.pid(component) for component in ("kube-apiserver", "etcd")}
            if name == _OURS:
                operator = Operator(plane, options.build)
                await stack.enter_async_context(running(operator))
                pids[_OURS], make = operator.pid, _deployment
                if beside:
                    pids[_JOB_CONTROLLER] = stack.enter_context(plane.controllers(*beside))
            else:
                manager = plane.controllers("cronjob-controller", *beside, flags=_FLAGS[name])
                pids[name], make = stack.enter_context(manager), _cron_job
            tick = _next_minute(lead)
            await api.together(api.create(make(i, tick)) for i in range(count))
            await api.settled(patience=200)
            if tick - time.time() > spare:
                return await _watch(api, peer, tick, count, pids)
        say("the tick came before all was at rest: again, with more time")
        lead *= 2
        await api.delete_all(_NAMESPACE, *_KINDS)
        await api.settled()


async def _watch(api: Api, peer: str, tick: float, count: int, pids: dict[str, int]) -> Round:
    arrived: dict[str, float] = {}
    pods: list[float] = []
    made: Counter[str] = Counter()
    complete = asyncio.Event()

    def note(seen: Seen) -> None:
        if seen.type == "ADDED":
            owner = objects.owner_of(seen.name) or seen.name
            made[owner] += 1
            arrived.setdefault(owner, seen.at)
            if len(arrived) >= count:
                complete.set()

    def note_pod(seen: Seen) -> None:
        if seen.type == "ADDED":
            pods.append(seen.at - tick)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(api.watching("Job", _NAMESPACE, note))
        if peer.endswith(_PODS):
            await stack.enter_async_context(api.watching("Pod", _NAMESPACE, note_pod))
        before, ahead = await api.requests(), Meter(pids)
        await asyncio.sleep(tick - time.time() - 1.5)
        ahead_cpu, meter = ahead.read(), Meter(pids)
        await asyncio.sleep(max(tick - time.time(), 0))
        try:
            await asyncio.wait_for(complete.wait(), _PATIENCE)
        except TimeoutError:
            raise BenchError(f"{peer}: {len(arrived)} of {count} Jobs were made") from None
        cpu = meter.read()
        rest = await api.settled() - tick
        whole = meter.read()
        requests = (await api.requests()).since(before)
    if early := [name for name, at in arrived.items() if at < tick]:
        raise BenchError(f"{peer}: Jobs before the tick: {early[:5]}")
    if double := [name for name, number in made.items() if number > 1]:
        raise BenchError(f"{peer}: more than one Job of {double[:5]}")
    seconds = sorted(at - tick for at in arrived.values())
    if peer.endswith(_PODS) and len(pods) != count:
        raise BenchError(f"{peer}: {len(pods)} of {count} Pods were made")
    pods.sort()
    made_of = _of_interest(requests.by_verb)
    return Round(peer, seconds, pods, ahead_cpu, cpu, whole, rest, made_of)


def _deployment(number: int, tick: float) -> Object:
    schedules = objects.cron(_expression(tick))
    return objects.deployment(_NAMESPACE, f"storm-{number:04}", schedules=schedules)


def _cron_job(number: int, tick: float) -> Object:
    return objects.cron_job(_NAMESPACE, f"storm-{number:04}", _expression(tick))


def _expression(tick: float) -> str:
    return datetime.fromtimestamp(tick, UTC).strftime("%-M %-H * * *")


def _next_minute(lead: float) -> float:
    """The first full minute that is that many seconds away."""
    return -(-(time.time() + lead) // 60) * 60


def _of_interest(counts: Counter[tuple[str, str]]) -> dict[str, int]:
    """The requests that a storm makes, without the control plane's own."""
    kinds = ("flowdeployments", "flowruns", "cronjobs", "jobs", "pods", "events")
    return {
        f"{verb} {resource}": number
        for (verb, resource), number in sorted(counts.items())
        if resource.split("/")[0] in kinds
    }


def _controllers(cpu: dict[str, float]) -> float:
    return sum(seconds for name, seconds in cpu.items() if name not in ("kube-apiserver", "etcd"))


def _words(found: Round) -> str:
    return (
        f"last Job after {found.seconds[-1]:.2f} s, at rest after {found.rest:.0f} s, "
        f"{_controllers(found.cpu):.2f} s of processor time"
    )


def _section(done: list[Round], count: int) -> Section:
    head: Row = (
        "controller", "rounds", "last Job s", "lowest-highest", "median s", "p99 s",
        "all CPU ahead s", "CPU s", "API server s", "etcd s", "CPU s, all", "requests a Job",
        "median Pod s", "last Pod s", "at rest s",
    )  # fmt: skip
    peers = list(dict.fromkeys(each.peer for each in done))
    rows = [_row([each for each in done if each.peer == peer], count) for peer in peers]
    section = Section(
        "storm",
        f"{count:,} schedules due in the same minute",
        tables=[[head, *rows]],
        data={"count": count, "rounds": [asdict(each) for each in done]},
    )
    for suffix in (_PODS, ""):
        ours = [each.seconds[-1] for each in done if each.peer == _OURS + suffix]
        theirs = [each.seconds[-1] for each in done if each.peer == _THEIRS + suffix]
        if not ours or not theirs:
            continue
        pairs = [f"{one / other:.2f}" for one, other in zip(ours, theirs, strict=False)]
        goal = f"last Job, as a share of {_THEIRS}{suffix}"
        section.goals.append(Judged(goal, median(ours) / median(theirs), 1.0, ""))
        section.notes.append(f"Ratio of each round{suffix}: {', '.join(pairs)}.")
    return section


def _row(rounds: list[Round], count: int) -> Row:
    last = [each.seconds[-1] for each in rounds]

    def middle(get: Callable[[Round], float]) -> float:
        return median(get(each) for each in rounds)

    return (
        rounds[0].peer,
        str(len(rounds)),
        f"{median(last):.2f}",
        f"{min(last):.2f}-{max(last):.2f}",
        f"{middle(lambda each: percentile(each.seconds, 0.5)):.2f}",
        f"{middle(lambda each: percentile(each.seconds, 0.99)):.2f}",
        f"{middle(lambda each: sum(each.ahead_cpu.values())):.2f}",
        f"{middle(lambda each: _controllers(each.cpu)):.2f}",
        f"{middle(lambda each: each.cpu['kube-apiserver']):.2f}",
        f"{middle(lambda each: each.cpu['etcd']):.2f}",
        f"{middle(lambda each: _controllers(each.whole_cpu)):.2f}",
        f"{middle(lambda each: sum(each.requests.values())) / count:.1f}",
        f"{middle(lambda each: percentile(each.pods, 0.5)):.1f}" if rounds[0].pods else "",
        f"{middle(lambda each: each.pods[-1]):.1f}" if rounds[0].pods else "",
        f"{middle(lambda each: each.rest):.0f}",
    )
