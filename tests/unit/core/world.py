"""Objects as an API server would have them, and a small world that decisions act on."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from flow_operator.api.v1alpha1 import FlowRun
from flow_operator.core import names
from flow_operator.core.decision import (
    CancelRun,
    CreateJob,
    CreateRun,
    Decision,
    DeleteRun,
    EmitEvent,
    SuspendJob,
    WriteStatus,
)
from flow_operator.core.deployments import decide_deployment
from flow_operator.core.ledger import Ledger
from flow_operator.core.names import job_name
from flow_operator.core.runs import RunView, decide_run, needs_room
from flow_operator.core.runstate import current_attempt
from flow_operator.core.settings import Settings
from flow_operator.shell.room import entry_of

T0 = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
COMMIT = "8c1f" + "0" * 36


def stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def deployment(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "flow-operator.io/v1alpha1",
        "kind": "FlowDeployment",
        "metadata": {
            "name": "etl",
            "namespace": "data",
            "uid": "uid-etl",
            "generation": 1,
            "creationTimestamp": stamp(T0),
        },
        "spec": {
            "source": {"git": {"url": "https://git.example/flows.git"}},
            "entrypoint": "etl.py:main",
            **spec,
        },
    }


def flow_run(name: str = "etl-manual", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "flow-operator.io/v1alpha1",
        "kind": "FlowRun",
        "metadata": {
            "name": name,
            "namespace": "data",
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": stamp(T0),
        },
        "spec": {"deploymentRef": {"name": "etl"}, **spec},
    }


def terminated(code: int, message: str = "", reason: str = "", **more: str) -> dict[str, Any]:
    return {
        "terminated": {
            "exitCode": code,
            "message": message,
            "reason": reason or ("Completed" if code == 0 else "Error"),
            "startedAt": stamp(T0),
            "finishedAt": stamp(T0 + timedelta(seconds=3)),
            **more,
        }
    }


def pod(
    fetch: dict[str, Any] | None = None,
    flow: dict[str, Any] | None = None,
    phase: str = "Pending",
    conditions: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": phase, "conditions": conditions or []}
    if fetch:
        status["initContainerStatuses"] = [{"name": "fetch", "state": fetch}]
    if flow:
        status["containerStatuses"] = [{"name": "flow", "state": flow}]
    return {
        "metadata": {"name": "etl-pod", "uid": "uid-pod", "creationTimestamp": stamp(T0)},
        "status": status,
    }


FETCHED = terminated(
    0,
    f'{{"version":1,"reason":"Succeeded","revision":"{COMMIT}","seconds":{{"total":0.061}}}}',
)
RUNNING = {"running": {"startedAt": stamp(T0)}}


def failed_fetch(
    reason: str, message: str = "it failed", remedy: str = "mend it"
) -> dict[str, Any]:
    text = f'{{"version":1,"reason":"{reason}","message":"{message}","remedy":"{remedy}"}}'
    return pod(fetch=terminated(1, text), phase="Failed")


SUCCEEDED_POD = pod(FETCHED, terminated(0, '{"version":1,"result":{"rows":10}}'), phase="Succeeded")


def is_plan(run: dict[str, Any]) -> bool:
    """Whether a run was made ahead of its tick, and has not begun as far as it says."""
    return names.ANNOTATION_AHEAD in run["metadata"].get("annotations", {}) and not run.get(
        "status"
    )


class World:
    """An API server of dictionaries: applies decisions, refuses names that are taken.

    `budget` is how many writes succeed before the operator is killed; None: it lives. `made` has
    the runs in the order in which they began, or were made if that was not ahead of their tick.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.ledger = Ledger(limit, None)
        self.now = T0
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.pods: dict[str, list[dict[str, Any]]] = {}
        self.events: list[EmitEvent] = []
        self.created: list[tuple[str, str]] = []
        self.made: list[dict[str, Any]] = []
        self.changed = False
        self.writes = 0
        self.budget: int | None = None
        self.settings = Settings(max_active_runs=limit)
        self._uids = count(1)

    def put(self, obj: dict[str, Any]) -> None:
        self.objects[obj["kind"], obj["metadata"]["name"]] = obj

    def all(self, kind: str) -> list[dict[str, Any]]:
        """The objects of a kind, without the runs that are plans."""
        return [obj for obj in self._all(kind) if not is_plan(obj)]

    @property
    def plans(self) -> list[dict[str, Any]]:
        """The runs that were made ahead and have not begun."""
        return [obj for obj in self._all("FlowRun") if is_plan(obj)]

    def _all(self, kind: str) -> list[dict[str, Any]]:
        return [obj for (k, _), obj in self.objects.items() if k == kind]

    def one(self, kind: str) -> dict[str, Any]:
        (only,) = self.all(kind)
        return only

    def edit(self, name: str = "etl", **spec: Any) -> None:
        obj = self.objects["FlowDeployment", name]
        obj["spec"] = {**obj["spec"], **spec}
        obj["metadata"]["generation"] += 1

    def reconcile(self) -> None:
        """Decide on everything until nothing changes."""
        for _ in range(60):
            self.changed = False
            self.deployments_only()
            for obj in self._all("FlowRun"):
                if not self._is_done_with(obj):
                    self._apply(obj, self.decide_run(obj))
            if not self.changed:
                return
        raise AssertionError("decisions never settle")

    def _is_done_with(self, run: dict[str, Any]) -> bool:
        """Whether the shell looks at a run no more, either."""
        return (
            "completionTime" in run.get("status", {})
            and "ttlSecondsAfterFinished" not in run["spec"]
        )

    def runs(self) -> list[FlowRun]:
        return [FlowRun.model_validate(run) for run in self._all("FlowRun")]

    def deployments_only(self) -> None:
        """Decide once on the deployments, and leave the runs alone."""
        for obj in self.all("FlowDeployment"):
            runs = self.runs()
            begun = {
                run.metadata.name
                for run in runs
                if ("Job", job_name(run.metadata.name, run.metadata.uid, 1)) in self.objects
            }
            decision = decide_deployment(obj, runs, self.now, settings=self.settings, begun=begun)
            self._apply(obj, decision)

    @property
    def ticks(self) -> list[str]:
        """The ticks that FlowRuns were ever created for, in that order."""
        return [
            run["spec"]["trigger"]["scheduledTime"]
            for run in self.made
            if "scheduledTime" in run["spec"].get("trigger", {})
        ]

    def decide_run(self, obj: dict[str, Any]) -> Decision:
        run = FlowRun.model_validate(obj)
        name = job_name(run.metadata.name, run.metadata.uid, current_attempt(run))
        view = RunView(
            obj,
            self.objects.get(("FlowDeployment", run.spec.deployment_ref.name)),
            self.objects.get(("Job", name)),
            self.pods.get(name, []),
        )
        if needs_room(view):
            view = replace(view, held=self.ledger.request(entry_of(obj)))
        else:
            self.ledger.leave(run.metadata.uid)
        decision = decide_run(view, self.now, self.settings)
        if decision.ends_run:
            self.ledger.leave(run.metadata.uid)
        return decision

    def _apply(self, obj: dict[str, Any], decision: Decision) -> None:
        for action in decision.actions:
            if self.budget == 0:
                raise KilledError
            if self.budget is not None:
                self.budget -= 1
            self.writes += 1
            self.changed = True
            match action:
                case CreateRun(manifest) | CreateJob(manifest):
                    self._create(deepcopy(manifest))
                case WriteStatus(status):
                    self._begins(obj)
                    obj["status"] = deepcopy(status)
                case SuspendJob(name):
                    self.objects["Job", name]["spec"]["suspend"] = True
                    self.pods.pop(name, None)
                case CancelRun(name, _, newer):
                    run = self.objects["FlowRun", name]
                    run["spec"]["cancel"] = True
                    notes = run["metadata"].setdefault("annotations", {})
                    notes[names.ANNOTATION_REPLACED_BY] = newer
                case DeleteRun(name, _, job):
                    if ("Job", job) not in self.objects:
                        del self.objects["FlowRun", name]
                case EmitEvent():
                    if action.name not in {event.name for event in self.events}:
                        self.events.append(action)

    def _create(self, manifest: dict[str, Any]) -> None:
        key = manifest["kind"], manifest["metadata"]["name"]
        if key in self.objects:
            owner = manifest["metadata"]["ownerReferences"][0]["uid"]
            assert self.objects[key]["metadata"]["ownerReferences"][0]["uid"] == owner
            return
        manifest["metadata"] |= {
            "uid": f"uid-{next(self._uids)}",
            "generation": 1,
            "creationTimestamp": stamp(self.now),
        }
        self.objects[key] = manifest
        self.created.append(key)
        if manifest["kind"] == "FlowRun" and not is_plan(manifest):
            self.made.append(deepcopy(manifest))
        if manifest["kind"] == "Job":
            (owner,) = manifest["metadata"]["ownerReferences"]
            self._begins(self.objects["FlowRun", owner["name"]])

    def _begins(self, obj: dict[str, Any]) -> None:
        """Count a run that was made ahead, the first time that something becomes of it."""
        uids = {run["metadata"]["uid"] for run in self.made}
        if obj["kind"] == "FlowRun" and is_plan(obj) and obj["metadata"]["uid"] not in uids:
            self.made.append(deepcopy(obj))

    def pod_becomes(self, new: dict[str, Any]) -> None:
        """Give the newest Job this Pod."""
        newest = [name for kind, name in self.created if kind == "Job"][-1]
        self.pods[newest] = [new]

    def condition(self, kind: str, of: str) -> dict[str, Any] | None:
        conditions = self.one(kind).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == of), None)


class KilledError(Exception):
    """The operator was killed."""


def run_becomes_pending(world: World) -> None:
    """Start a run, and see that the deployment's status, written with that, holds once it is."""
    world.deployments_only()
    before = deepcopy(world.one("FlowDeployment")["status"])
    assert before["lastRun"]["startTime"] == stamp(world.now)
    world.now += timedelta(seconds=1)
    world.reconcile()
    assert world.one("FlowRun")["status"]["phase"] == "Pending"
    assert world.one("FlowDeployment")["status"] == before
