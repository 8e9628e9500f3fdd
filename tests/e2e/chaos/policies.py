"""Judges deployments whose policies drop ticks or make runs wait, by a model of the policies.

The model knows when somebody acted: deployments that tick every second, and of which every tick
runs, show it. A tick may have no run only if its deployment's policy says so, with the reason on
record; or if nobody acted on it until the next tick had come, or its starting deadline had passed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS
from tests.e2e.chaos.aftermath import Aftermath
from tests.e2e.chaos.exact import ever, nothing_twice, unrecorded
from tests.e2e.chaos.record import Run
from tests.e2e.chaos.settling import ON_TIME
from tests.e2e.chaos.workload import PULSE, Flow, Timer, text_of, unix

SLACK = 3.0
"""How many seconds somebody who acts may take for one deployment."""

BACKOFF = 8.0
"""For how many seconds a request that failed may keep its object from being looked at."""

LATEST = 15.0
"""How many seconds may pass between the decision to start a run and its creation."""

Span = tuple[float, float]


@dataclass(frozen=True)
class _Pass:
    """One step of a schedule's `handledUntil`.

    Attributes:
        since, until: From where to where.
        seen: When that was seen, as a Unix time.
    """

    since: int
    until: int
    seen: float


def judge(after: Aftermath, flows: Sequence[Flow]) -> list[str]:
    """Return what is wrong."""
    names = {flow.name for flow in flows}
    problems = [*nothing_twice(after, names), *_limits(after, flows)]
    model = _Model(after, flows)
    for flow in flows:
        problems += model.ticks(flow)
        problems += model.runs(flow)
        problems += model.history(flow)
    return problems


def fates(after: Aftermath, flows: Sequence[Flow]) -> Counter[str]:
    """Return how many ticks met which fate, for people."""
    model = _Model(after, flows)
    for flow in flows:
        list(model.ticks(flow))
    return model.fates


class _Model:
    def __init__(self, after: Aftermath, flows: Sequence[Flow]) -> None:
        self._after = after
        self._runs = ever(after, {flow.name for flow in flows})
        self._away = away(after)
        self._told = _told(after)
        self.fates: Counter[str] = Counter()

    def ticks(self, flow: Flow) -> Iterator[str]:
        """Yield the ticks that have no run for no good reason."""
        created = unix(self._after.deployments[flow.name]["metadata"]["creationTimestamp"])
        for timer in flow.timers:
            made = {
                run.tick
                for run in self._runs.values()
                if (run.deployment, run.schedule) == (flow.name, timer.name)
            }
            passes = self._passes(flow, timer, created)
            handled = passes[-1].until if passes else created
            known = {
                *timer.ticks(created, handled),
                *unrecorded(self._after, timer, handled, made),
            }
            for tick in sorted(made - known):
                yield f"{flow.name}: a FlowRun for {text_of(tick)}, which is no tick"
            handled = max(known, default=handled)
            left = (timer.ticks(handled, handled + (timer.every or 60))[0], self._after.times.rest)
            if _free(left, self._excuses(flow)):
                yield f"{flow.name}: nobody has dealt with the tick of {text_of(left[0])}"
            for step in passes:
                if step.until < step.since:
                    yield f"{flow.name}: handledUntil went back to {text_of(step.until)}"
                for tick in timer.ticks(step.since, step.until):
                    fate = "ran" if tick in made else self._fate(flow, timer, tick, step)
                    self.fates[fate or "lost"] += 1
                    if not fate:
                        yield (
                            f"{flow.name}: no FlowRun for the tick of {text_of(tick)}, which was "
                            f"dealt with at {text_of(int(step.seen))}, for no reason"
                        )

    def _fate(self, flow: Flow, timer: Timer, tick: int, step: _Pass) -> str:
        """Return why a tick has no run; empty if there is no reason."""
        spec, every = flow.spec, timer.every or 60
        limit = spec.get("startingDeadlineSeconds")
        excused = self._excuses(flow)
        missed = self._disturbed(flow, step.seen) or any(
            name == flow.name and since <= tick <= until
            for name, since, until in self._told["TicksMissed"]
        )
        if limit and step.seen - tick > limit - 1 and not _free((tick, tick + limit), excused):
            return "too late" if missed else ""
        if spec.get("concurrencyPolicy") == "Forbid" and self._full(flow, tick, step.seen):
            said = (flow.name, tick, tick) in self._told["TickSkipped"]
            return "skipped" if said or self._disturbed(flow, step.seen) else ""
        overtaken = step.until >= tick + every
        if overtaken and spec.get("catchUp") != "all" and not _free((tick, tick + every), excused):
            return "missed" if missed else ""
        return ""

    def _disturbed(self, flow: Flow, at: float) -> bool:
        """Tell whether something went wrong while somebody was about to say what he did."""
        wrong = [*self._excuses(flow), *self._after.windows]
        wrong += [(hit.time, hit.time) for hit in self._after.hits if "/events" in hit.path]
        return any(start <= at + SLACK and end >= at - SLACK for start, end in wrong)

    def _full(self, flow: Flow, tick: int, seen: float) -> bool:
        """Tell whether there were as many unfinished runs as there may be."""
        there = [
            run
            for run in self._runs.values()
            if run.deployment == flow.name
            and run.tick != tick
            and run.created <= seen + 1
            and (not run.ended or unix(run.ended) >= tick - 1)
        ]
        limit: int = flow.spec.get("concurrencyLimit", 1)
        return len(there) >= limit

    def _excuses(self, flow: Flow) -> list[Span]:
        """Return when nobody acted, or requests about this deployment went wrong."""
        own = re.compile(rf"({re.escape(flow.name)}(-[0-9a-f]{{10}})?)?")
        hits = [
            (hit.time - 1, hit.time + BACKOFF)
            for hit in self._after.hits
            if own.fullmatch(hit.name)
        ]
        return [*self._away, *hits]

    def _passes(self, flow: Flow, timer: Timer, created: int) -> list[_Pass]:
        found: list[_Pass] = []
        since = created
        for state in self._after.record.states[FLOW_DEPLOYMENTS.kind]:
            if state.object["metadata"]["name"] != flow.name:
                continue
            for record in (state.object.get("status") or {}).get("schedules") or []:
                until = unix(record["handledUntil"])
                if record["name"] == timer.name and until != since:
                    found.append(_Pass(since, until, state.time))
                    since = until
        return found

    def _handled(self, flow: Flow, timer: Timer) -> int:
        status = self._after.deployments[flow.name].get("status") or {}
        records = {record["name"]: record for record in status.get("schedules") or []}
        return unix(records[timer.name]["handledUntil"]) if timer.name in records else 0

    def runs(self, flow: Flow) -> Iterator[str]:
        """Yield the runs that ended in another way than they should have."""
        limit = flow.spec.get("startingDeadlineSeconds")
        own = [run for run in self._runs.values() if run.deployment == flow.name]
        names = {run.name: run for run in own}
        for run in own:
            where = f"FlowRun {run.name}"
            if run.acted < run.tick:
                yield f"{where} began {run.tick - run.acted} s before its tick"
            if limit and run.acted - run.tick > limit + LATEST:
                yield f"{where} was made {run.acted - run.tick} s after its tick"
            if len(run.raw["status"].get("attempts") or []) > 1:
                yield f"{where} was tried again"
            wanted = "Succeeded" if flow.ends_well(text_of(run.tick), 1) else "Failed"
            if run.phase == "Cancelled":
                newer = names.get(run.replaced_by)
                if flow.spec.get("concurrencyPolicy") != "Replace" or run.reason != "Replaced":
                    yield f"{where} was cancelled: {run.reason}"
                elif newer is None or newer.tick <= run.tick:
                    yield f"{where} made room for {run.replaced_by or 'nobody'}, which is not newer"
            elif run.reason == "StartingDeadlineExceeded":
                waited = unix(run.ended) - run.tick
                if not limit or waited < limit or run.raw["status"].get("attempts"):
                    yield f"{where} was given up after {waited} s"
            elif run.phase != wanted:
                yield f"{where} is {run.phase or 'new'} ({run.reason}), but should be {wanted}"

    def history(self, flow: Flow) -> Iterator[str]:
        """Yield how what is kept differs from the newest runs that may be kept."""
        # What is not on record as dealt with is kept in any case: it would be run again.
        behind = {
            run.name
            for timer in flow.timers
            for run in self._runs.values()
            if run.deployment == flow.name and run.tick > self._handled(flow, timer)
        }
        kept = {run.name for run in self._after.runs if run.deployment == flow.name}
        ended = [run for run in self._runs.values() if run.deployment == flow.name and run.ended]
        ended.sort(key=lambda run: (unix(run.ended), run.name), reverse=True)
        well = [run.name for run in ended if run.phase == "Succeeded"]
        ill = [run.name for run in ended if run.phase != "Succeeded"]
        wanted = {
            *well[: flow.spec.get("successfulRunsHistoryLimit", 3)],
            *ill[: flow.spec.get("failedRunsHistoryLimit", 3)],
            *behind,
        }
        if kept != wanted:
            yield f"{flow.name}: {sorted(kept)} are kept, but should be {sorted(wanted)}"


def _limits(after: Aftermath, flows: Iterable[Flow]) -> Iterator[str]:
    """Yield where more runs had started, or with Forbid were there, than there may be."""
    limits = {
        flow.name: flow.spec.get("concurrencyLimit", 1)
        for flow in flows
        if flow.spec.get("concurrencyPolicy", "Allow") != "Allow"
    }
    forbids = {f.name for f in flows if f.spec.get("concurrencyPolicy") == "Forbid"}
    active: defaultdict[str, set[str]] = defaultdict(set)
    order: defaultdict[str, list[Run]] = defaultdict(list)
    for state in after.record.states[FLOW_RUNS.kind]:
        run = Run.of(state.object)
        if run.deployment not in limits:
            continue
        there = not run.ended and not state.gone
        if there and (run.started or run.deployment in forbids):
            active[run.deployment].add(run.name)
        else:
            active[run.deployment].discard(run.name)
        if len(active[run.deployment]) > limits[run.deployment]:
            names = ", ".join(sorted(active[run.deployment]))
            yield f"{run.deployment}: more than {limits[run.deployment]} at a time: {names}"
        if run.started and all(run.uid != known.uid for known in order[run.deployment]):
            order[run.deployment].append(run)
    for name, runs in order.items():
        if limits[name] == 1 and runs != sorted(runs, key=lambda run: (run.created, run.tick)):
            yield f"{name}: runs did not start in the order in which they were made"


def away(after: Aftermath) -> list[Span]:
    """Return the spans in which nobody acted, or not on all that was due.

    Of many deployments every tick has its run: each that came late shows for how long.
    """
    exact = [run for run in after.runs if (run.deployment, run.schedule) in after.prompt]
    late: list[Span] = [
        (run.tick, run.acted + 1.0) for run in exact if run.acted - run.tick > ON_TIME
    ]
    pulse = {run.tick for run in exact if run.deployment.startswith(PULSE)}
    never = after.times.suspended + LATEST
    seconds = range(min(pulse, default=0), int(after.times.rest))
    return late + [(second, never) for second in seconds if second not in pulse]


def _free(span: Span, taken: Iterable[Span]) -> bool:
    """Tell whether somebody could have acted within a span."""
    at, end = span
    for start, until in sorted(taken):
        if start - at > SLACK:
            break
        at = max(at, until)
    return end - at > SLACK


_WORDS = {
    "TickSkipped": re.compile(r"No run for (?P<since>\S+) of schedule \S+:"),
    "TicksMissed": re.compile(
        r"Schedule \S+: the ticks? (of|from) (?P<since>\S+)( to before (?P<until>\S+))?"
    ),
}


def _told(after: Aftermath) -> defaultdict[str, set[tuple[str, int, int]]]:
    """Return which ticks Events tell of, by reason: deployment, first tick and last moment."""
    found: defaultdict[str, set[tuple[str, int, int]]] = defaultdict(set)
    for event in after.events:
        words = _WORDS.get(event["reason"])
        if words and (said := words.match(event["message"])):
            since = unix(said["since"])
            until = unix(said["until"]) - 1 if said.groupdict().get("until") else since
            found[event["reason"]].add((event["involvedObject"]["name"], since, until))
    return found
