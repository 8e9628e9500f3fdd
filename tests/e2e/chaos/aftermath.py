"""All that is known once a storm is over: what the judges judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from flow_operator.shell.cluster import EVENTS, FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS
from tests.e2e.chaos.api import Api, Object
from tests.e2e.chaos.faults import Kind
from tests.e2e.chaos.meddler import Hit
from tests.e2e.chaos.record import Record, Run


class Window(NamedTuple):
    """When an operator or a component was away, as Unix times."""

    start: float
    end: float


class Times(NamedTuple):
    """How a storm ended, as Unix times.

    Attributes:
        faults_ended: Since when nothing has been wrong.
        rest: Up to when every tick counted.
        suspended: Since when nothing more has been to start.
    """

    faults_ended: float
    rest: float
    suspended: float


@dataclass
class Aftermath:
    """What has come of a storm.

    Attributes:
        record: What was there meanwhile.
        times: How it ended.
        struck: How often each kind of fault struck.
        windows: When an operator or a component was away.
        hits: Requests that were meddled with.
        created: UIDs of all that the operators created, by kind and purpose, as proxies saw it.
        prompt: Deployments and schedules of which every tick had to get its run, without jitter.
        problems: What did not happen in time, or should not have happened at all.
        runs, jobs, pods, deployments, events: What is there now.
    """

    record: Record
    times: Times
    struck: Counter[Kind]
    windows: list[Window]
    hits: list[Hit]
    created: dict[tuple[str, str], set[str]]
    prompt: frozenset[tuple[str, str]]
    problems: list[str]
    runs: list[Run] = field(default_factory=list)
    jobs: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    deployments: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)

    async def look_around(
        self, api: Api, namespace: str, schedules: Mapping[str, list[Object]]
    ) -> None:
        """Take down what is there now, and what was on record of schedules that are gone."""
        there = {
            kind.kind: (await api.get(kind.path(namespace)))["items"]
            for kind in (FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, EVENTS)
        }
        self.runs = [Run.of(run) for run in there[FLOW_RUNS.kind]]
        self.jobs, self.pods = there[JOBS.kind], there[PODS.kind]
        self.deployments = {
            found["metadata"]["name"]: found for found in there[FLOW_DEPLOYMENTS.kind]
        }
        for name, records in schedules.items():
            self.deployments[name]["status"]["schedules"] = records
        self.events = there[EVENTS.kind]
