"""Judges deployments of which every tick runs: one FlowRun a tick, one Job an attempt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from flow_operator.shell.cluster import FLOW_RUNS, JOBS
from tests.e2e.chaos.aftermath import Aftermath
from tests.e2e.chaos.api import Object
from tests.e2e.chaos.meddler import purpose_of
from tests.e2e.chaos.record import Run
from tests.e2e.chaos.workload import Flow, Timer, text_of, unix


def judge(after: Aftermath, flows: Sequence[Flow]) -> list[str]:
    """Return what is wrong."""
    names = {flow.name for flow in flows}
    runs = [run for run in after.runs if run.deployment in names]
    problems = list(nothing_twice(after, names))
    jobs, pods = _by_owner(after.jobs), _by_owner(after.pods)
    for flow in flows:
        own = [run for run in runs if run.deployment == flow.name]
        problems += _deployment(after, flow, own)
        for run in own:
            problems += _run(after, flow, run, jobs[run.uid])
    for job in (job for run in runs for job in jobs[run.uid]):
        if (count := len(pods[job["metadata"]["uid"]])) != 1:
            problems.append(f"Job {job['metadata']['name']} has {count} Pods")
    problems += orphans(after)
    begun = ever(after, names)
    deleted = {
        begun[uid].name
        for state in after.record.states[FLOW_RUNS.kind]
        if state.gone and (uid := state.object["metadata"]["uid"]) in begun
    }
    return problems + [f"FlowRun {name} was deleted" for name in sorted(deleted)]


def ever(after: Aftermath, names: Iterable[str]) -> dict[str, Run]:
    """Return all FlowRuns that were ever there, by UID, as they were last.

    What was made ahead of its tick does not count until somebody lets it begin, or makes its Job.
    """
    last = after.record.last(FLOW_RUNS.kind)
    found = {uid: Run.of(run) for uid, run in last.items()}
    with_job = {purpose.partition("/")[0] for kind, purpose in after.created if kind == JOBS.kind}
    return {
        uid: run
        for uid, run in found.items()
        if run.deployment in names and (run.acted or uid in with_job)
    }


def nothing_twice(after: Aftermath, names: set[str]) -> Iterator[str]:
    """Yield the ticks that more than one FlowRun was ever made for, and the Jobs made twice."""
    runs = ever(after, names)
    ticks: defaultdict[tuple[str, str, int], set[str]] = defaultdict(set)
    for uid, run in runs.items():
        ticks[run.deployment, run.schedule, run.tick].add(uid)
        ticks[run.deployment, run.schedule, run.tick] |= after.created.get(
            (FLOW_RUNS.kind, run.name), set()
        )
    for (deployment, schedule, tick), uids in sorted(ticks.items()):
        if len(uids) > 1:
            yield f"{deployment}/{schedule}: {len(uids)} FlowRuns for the tick of {text_of(tick)}"
    jobs: defaultdict[str, set[str]] = defaultdict(set)
    for job in after.jobs:
        jobs[purpose_of(job)].add(job["metadata"]["uid"])
    for purpose in {purpose for kind, purpose in after.created if kind == JOBS.kind} | jobs.keys():
        uids = jobs[purpose] | after.created.get((JOBS.kind, purpose), set())
        owner, _, attempt = purpose.partition("/")
        if len(uids) > 1 and owner in runs:
            yield f"FlowRun {runs[owner].name}: {len(uids)} Jobs for attempt {attempt}"


def _deployment(after: Aftermath, flow: Flow, runs: list[Run]) -> Iterator[str]:
    found = after.deployments[flow.name]
    created = unix(found["metadata"]["creationTimestamp"])
    records = {record["name"]: record for record in found["status"].get("schedules") or []}
    for timer in flow.timers:
        record = records.get(timer.name)
        if record is None:
            yield f"{flow.name}/{timer.name}: nothing is known of the schedule"
            continue
        handled = unix(record["handledUntil"])
        made = Counter(run.tick for run in runs if run.schedule == timer.name)
        last = max(unrecorded(after, timer, handled, made), default=handled)
        wanted = set(timer.ticks(created, last))
        yield from _ticks(flow, timer, made, wanted)
        if after.times.faults_ended - timer.jitter > last + (timer.every or 60):
            yield f"{flow.name}/{timer.name}: handledUntil is only {text_of(handled)}"
        said = unix(record.get("lastScheduleTime", "1970-01-01T00:00:00Z"))
        if said != max((tick for tick in made if tick <= handled), default=0):
            yield f"{flow.name}/{timer.name}: lastScheduleTime is not the last tick that ran"


def unrecorded(after: Aftermath, timer: Timer, handled: int, made: Iterable[int]) -> set[int]:
    """Return the last ticks that ran, if their deployment was suspended before they were on record.

    A suspended schedule's ticks are not dealt with; once it goes on, they are, and have their runs.
    """
    return set(timer.ticks(handled, int(after.times.suspended) + 1)) & set(made)


def _ticks(flow: Flow, timer: Timer, made: Counter[int], wanted: set[int]) -> Iterator[str]:
    for tick in sorted(wanted - made.keys()):
        yield f"{flow.name}/{timer.name}: no FlowRun for the tick of {text_of(tick)}"
    for tick in sorted(made.keys() - wanted):
        yield f"{flow.name}/{timer.name}: a FlowRun for {text_of(tick)}, which is no tick"
    for tick, count in sorted(made.items()):
        if count > 1:
            yield f"{flow.name}/{timer.name}: {count} FlowRuns for the tick of {text_of(tick)}"


def _run(after: Aftermath, flow: Flow, run: Run, jobs: list[Object]) -> Iterator[str]:
    where = f"FlowRun {run.name}"
    if owner_of(run.raw) != after.deployments[flow.name]["metadata"]["uid"]:
        yield f"{where} does not belong to its deployment"
    if run.acted < run.tick:
        yield f"{where} began {run.tick - run.acted} s before its tick"
    if run.phase != "Succeeded":
        yield f"{where} is {run.phase or 'new'} ({run.reason})"
    count = 1 if flow.ends_well(text_of(run.tick), 1) else 2
    attempts = run.raw.get("status", {}).get("attempts") or []
    numbers = [attempt["number"] for attempt in attempts]
    if numbers != list(range(1, count + 1)):
        yield f"{where} has attempts {numbers}, but should have {count}"
    uids = sorted(job["metadata"]["uid"] for job in jobs)
    if uids != sorted(attempt.get("jobUID", "") for attempt in attempts):
        yield f"{where} has {len(jobs)} Jobs, which are not those of its {len(attempts)} attempts"


def orphans(after: Aftermath) -> Iterator[str]:
    """Yield what belongs to nobody who is there."""
    for kind, children, owners in (
        ("FlowRun", [run.raw for run in after.runs], list(after.deployments.values())),
        ("Job", after.jobs, [run.raw for run in after.runs]),
        ("Pod", after.pods, after.jobs),
    ):
        uids = {owner["metadata"]["uid"] for owner in owners}
        for child in children:
            if owner_of(child) not in uids:
                yield f"{kind} {child['metadata']['name']} is an orphan"


def _by_owner(children: list[Object]) -> defaultdict[str, list[Object]]:
    found: defaultdict[str, list[Object]] = defaultdict(list)
    for child in children:
        found[owner_of(child)].append(child)
    return found


def owner_of(found: Object) -> str:
    """Return the UID of the object that controls this one; empty if none does."""
    owners = found["metadata"].get("ownerReferences") or []
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")
