"""Operators with a bug, and for each the little storm that must show it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tests.e2e.chaos import exact
from tests.e2e.chaos.faults import Fault, Kind
from tests.e2e.chaos.lab import Lab
from tests.e2e.chaos.meddler import Only
from tests.e2e.chaos.storm import Storm
from tests.e2e.chaos.workload import EXACT, Flow, Object, Timer

RUN = "import runpy; runpy.run_module('flow_operator', run_name='__main__', alter_sys=True)\n"

RANDOM_NAME = """
import secrets
from flow_operator.core import names
name = names.tick_run_name
names.tick_run_name = lambda *args: f"{name(*args)}-{secrets.token_hex(3)}"
"""
LOST_WAKE_UP = """
from flow_operator.shell.queue import WorkQueue
add = WorkQueue.add
def lossy(queue, key, after=0.0):
    if key not in queue._running:
        add(queue, key, after)
WorkQueue.add = lossy
"""
RECORD_FIRST = """
from dataclasses import replace
from flow_operator.core.decision import WriteStatus
from flow_operator.shell import reconciler
decide = reconciler.decide_deployment
def decide_deployment(*args, **options):
    decision = decide(*args, **options)
    first = lambda action: not isinstance(action, WriteStatus)
    return replace(decision, actions=tuple(sorted(decision.actions, key=first)))
reconciler.decide_deployment = decide_deployment
"""

IMPATIENT = """
from flow_operator.core import runs
runs.held_for = lambda *args: None
"""
FORGET_FAILED = """
from flow_operator.shell.queue import WorkQueue
failed = WorkQueue._failed
def forget(queue, key, error):
    failed(queue, key, error)
    return None
WorkQueue._failed = forget
"""


def _creates_run(method: str, path: str, body: bytes) -> bool:
    return method == "POST" and path.endswith("/flowruns")


def _creates_late_run(method: str, path: str, body: bytes) -> bool:
    return _creates_run(method, path, body) and b"flow-operator.io/made-ahead" not in body


def _tells_people(method: str, path: str, body: bytes) -> bool:
    return method == "POST" and path.endswith("/events")


def _tries_again(method: str, path: str, body: bytes) -> bool:
    again = b'"flow-operator.io/attempt":"2"' in body
    return method == "POST" and path.endswith("/jobs") and again


def _says_running(method: str, path: str, body: bytes) -> bool:
    return "/flowruns/" in path and b'"phase":"Running"' in body


@dataclass(frozen=True)
class Bug:
    """A bug, the fault that it cannot stand and which requests that is for, and how it shows.

    From when it first strikes the fault lasts for as many seconds as it says, however long a busy
    machine takes to get there. `problem` is a regular expression, `spec` what the deployments have
    in theirs.
    """

    code: str
    fault: Fault
    only: Only
    problem: str
    spec: Object = field(default_factory=lambda: EXACT)


AT_THE_TICK: Object = {**EXACT, "concurrencyPolicy": "Enqueue", "concurrencyLimit": 20}
"""No run is made ahead of its tick, and none waits."""

BUGS = {
    "a name that is not deterministic": Bug(
        RANDOM_NAME, Fault(0, Kind.LOSE, 0, 0, 1), _creates_late_run, "2 FlowRuns for the tick of"
    ),
    "a tick on record before its run is made": Bug(
        RECORD_FIRST,
        Fault(0, Kind.REFUSE, 0, 0, 1),
        _creates_run,
        "no FlowRun for the tick of",
        AT_THE_TICK,
    ),
    "a run that begins as soon as it is made": Bug(
        IMPATIENT, Fault(0, Kind.REFUSE, 0, 0, 1), _tells_people, "s before its tick"
    ),
    "a wake-up lost while its key is worked on": Bug(
        LOST_WAKE_UP, Fault(0, Kind.SLOW, 0, 12, 1), _says_running, "is Running|has active runs"
    ),
    "a key that failed and is not looked at again": Bug(
        # For as long as the first attempt's Job and Pod may still wake the run.
        FORGET_FAILED,
        Fault(0, Kind.REFUSE, 0, 12, 60),
        _tries_again,
        "is Pending",
    ),
}
NO_BUG = "no bug"

_PATIENCE = 15.0
_SLOW = (7.0, 7.0)
"""Until a Pod that ran for 3 s has ended and the Job controller has said so, on a busy machine."""
_LAG = 3.0
"""So long that the operator asks again before it can have seen what its lost request did."""


def _flows(spec: Object) -> list[Flow]:
    return [
        Flow(f"flow-{number}", (Timer("fast", 3),), spec, 1.5 + 0.5 * number, fails=4)
        for number in range(4)
    ]


async def blow_at_all(lab: Lab) -> dict[str, list[str]]:
    """Return what each little storm shows: of every bug, and of the operator without any."""
    storms = {name: _storm(lab, f"bug-{n}", bug) for n, (name, bug) in enumerate(BUGS.items())}
    flows = _flows(EXACT)
    storms[NO_BUG] = Storm(
        lab, f"chaos-{lab.stamp}-no-bug", flows, [bug.fault for bug in BUGS.values()],
        needed=[flow.name for flow in flows], operators=1, lag=_LAG, calm_seconds=0,
    )  # fmt: skip
    afters = await asyncio.gather(*(storm.run() for storm in storms.values()))
    return {
        name: [*after.problems, *exact.judge(after, storm.flows)]
        for (name, storm), after in zip(storms.items(), afters, strict=True)
    }


def _storm(lab: Lab, name: str, bug: Bug) -> Storm:
    flows = _flows(bug.spec)
    return Storm(
        lab, f"chaos-{lab.stamp}-{name}", flows, [bug.fault], slow=_SLOW, lag=_LAG,
        needed=[flow.name for flow in flows], operators=1, command=("-c", bug.code + RUN),
        linger=bug.fault.seconds, only=bug.only, calm_seconds=0, patience=_PATIENCE,
    )  # fmt: skip
