"""What a decision is made on: what the store has, confirmed by a read where that matters.

The store may lag behind the API server. A status that is written on what it has is refused there
if the object has changed since. But a create is not, and what was skipped is not made up for: so
before these the object is read, unless that was done, or it was written, since this process leads,
for nobody else writes meanwhile. Nor is anything concluded from what the store does not have.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import FlowRun
from flow_operator.core import names
from flow_operator.core.ahead import is_plan
from flow_operator.core.runs import RunView
from flow_operator.core.runstate import current_attempt, is_finished, is_started, last_attempt
from flow_operator.shell.cluster import EVENTS, FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, Cluster
from flow_operator.shell.keys import Key
from flow_operator.shell.records import controller_uid, version_of
from flow_operator.shell.store import Store

logger = logging.getLogger(__name__)

POD_IS_LATE = timedelta(seconds=10)
"""How old a Job is before its lack of a Pod is looked into."""

_EVENTS_LAST = 5.0
"""For how many seconds what was read of Events is good enough."""

RUNS_OF_DEPLOYMENT = "spec.deploymentRef.name"
"""The field of a FlowRun that the CRD makes selectable."""


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """All that a decision about a deployment depends on.

    Attributes:
        raw: The FlowDeployment.
        runs: The FlowRuns that name it.
        begun: Names of those that were made ahead and have a Job.
    """

    raw: dict[str, Any]
    runs: list[FlowRun]
    begun: frozenset[str] = frozenset()


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class Observer:
    """Looks at deployments and runs."""

    def __init__(
        self, cluster: Cluster, store: Store, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._clock = clock
        self._refused = _RefusedPods(cluster)
        self.forget()

    def forget(self) -> None:
        """Confirm everything anew: another process may have written until now."""
        self._since = self._store.now()
        self._confirmed: dict[Key, str] = {}  # their UIDs
        self._lead_began: int | None = None

    def _is_ours(self, uid: str) -> bool:
        """Tell whether this process has written an object since, and so nobody else."""
        return self._store.written_at(uid) >= self._since

    def deployment(self, key: Key) -> DeploymentView | None:
        """Return a deployment and its runs; None when there is none. Reads nothing."""
        raw = self._store.get(FLOW_DEPLOYMENTS, key.namespace, key.name)
        if raw is None:
            self._confirmed.pop(key, None)
            return None
        return self._view(raw, self._runs(key))

    async def confirm_deployment(self, key: Key, view: DeploymentView) -> DeploymentView | None:
        """Read a deployment, and its runs if it depends on them what may start.

        Once is enough: from then on nobody else writes what such a decision depends on. Where only
        the deployment itself counts, it need not be read if this process has written it, or if it
        was made or edited since this process leads.
        """
        uid = view.raw["metadata"]["uid"]
        if not lists_unknown_runs(view):
            if self._confirmed.get(key) == uid:
                return view
            if not _runs_count(view) and (self._is_ours(uid) or await self._is_recent(view.raw)):
                return view
        raw = await self._read(FLOW_DEPLOYMENTS, key.namespace, key.name)
        if raw is None:
            return None
        view = self._view(raw, self._runs(key))
        if lists_unknown_runs(view) or _runs_count(view):
            manifests = await self._cluster.list(
                FLOW_RUNS, key.namespace, fields=f"{RUNS_OF_DEPLOYMENT}={key.name}"
            )
            for manifest in manifests:
                self._store.saw(FLOW_RUNS, manifest)
            view = self._view(raw, [run for item in manifests if (run := _parse(item))])
        self._confirmed[key] = uid
        return view

    async def _is_recent(self, raw: dict[str, Any]) -> bool:
        """Tell whether a deployment is newer than all that others wrote before this process led.

        resourceVersions of a kind grow: one that is newer has in it whatever was written before.
        """
        if (began := self._lead_began) is None:
            since = self._since
            began = await self._cluster.version(FLOW_DEPLOYMENTS, raw["metadata"]["namespace"])
            if since == self._since:  # else another process has led meanwhile
                self._lead_began = began
        return version_of(raw) > began

    async def run(self, key: Key) -> RunView | None:
        """Return a run and what it stands on; None when there is none.

        Reads nothing as a rule. A deployment or a Job that the store does not have is looked for;
        so are the Pods of a Job that has ended while none that is known has, and the Events that
        tell why a Job has no Pod.
        """
        raw = self._store.get(FLOW_RUNS, key.namespace, key.name)
        return None if raw is None else await self._stands_on(raw)

    async def confirm_run(self, key: Key, view: RunView) -> RunView | None:
        """Read a run, unless nobody else can have written it."""
        if self._is_ours(view.raw["metadata"]["uid"]):
            return view
        raw = await self._read(FLOW_RUNS, key.namespace, key.name)
        if raw is None:
            return None
        return replace(await self._stands_on(raw), held=view.held)

    async def confirm_end(self, view: RunView) -> RunView:
        """Read what is not known of a run that is to end: its Job, or the Pods of that.

        A Pod that has ended stays so; one that does not get on may do so by now.
        """
        if view.job is None:
            run = _parse(view.raw)
            there = run and await self._read(JOBS, run.metadata.namespace, _job_name(run))
            return await self._stands_on(view.raw) if there else view
        if _have_ended(view.pods):
            return view
        return replace(view, pods=await self._pods(view.raw, view.job["metadata"]["uid"]))

    async def refresh(self, key: Key) -> None:
        """Read an object, for the store has something older."""
        resource = FLOW_DEPLOYMENTS if key.kind == FLOW_DEPLOYMENTS.kind else FLOW_RUNS
        await self._read(resource, key.namespace, key.name)

    async def _stands_on(self, raw: dict[str, Any]) -> RunView:
        namespace = raw["metadata"]["namespace"]
        run = _parse(raw)
        if run is None or is_finished(run) or run.metadata.deletion_timestamp:
            return RunView(raw)
        deployment = None
        if not is_started(run):
            name = run.spec.deployment_ref.name
            deployment = self._store.get(FLOW_DEPLOYMENTS, namespace, name)
            deployment = deployment or await self._read(FLOW_DEPLOYMENTS, namespace, name)
        job = await self._job(run)
        if job is None:
            return RunView(raw, deployment)
        uid = job["metadata"]["uid"]
        pods = self._store.group(PODS, namespace, uid)
        if _pods_are_over(job, pods):
            pods = await self._pods(raw, uid)
        events: list[dict[str, Any]] = []
        if not pods and should_have_a_pod(job, self._clock()):
            events = await self._refused.of(namespace, uid)
        return RunView(raw, job=job, pods=pods, events=events)

    async def _pods(self, raw: dict[str, Any], job_uid: str) -> list[dict[str, Any]]:
        labels = f"{names.LABEL_RUN_UID}={raw['metadata']['uid']}"
        pods = await self._cluster.list(PODS, raw["metadata"]["namespace"], labels=labels)
        for pod in pods:
            self._store.saw(PODS, pod)
        return [pod for pod in pods if controller_uid(pod) == job_uid]

    async def _job(self, run: FlowRun) -> dict[str, Any] | None:
        """Return the Job of the current attempt.

        One that is on record is looked for; so is one that was seen to tell the run's snapshot,
        and has ended before that was on record: the store keeps no more of such a Job than that.
        """
        meta, name = run.metadata, _job_name(run)
        job = self._store.get(JOBS, meta.namespace, name)
        last = last_attempt(run)
        on_record = last is not None and last.number == current_attempt(run)
        untold = job is not None and run.status.resolved_spec is None and not _tells_snapshot(job)
        if untold or (job is None and on_record):
            job = await self._read(JOBS, meta.namespace, name)
        return job if job and controller_uid(job) == meta.uid else None

    async def _read(self, resource: Any, namespace: str, name: str) -> dict[str, Any] | None:
        found = await self._cluster.find(resource, namespace, name)
        if found is None:
            self._store.gone(resource, namespace, name)
        else:
            self._store.saw(resource, found)
        return found

    def _view(self, raw: dict[str, Any], runs: list[FlowRun]) -> DeploymentView:
        namespace = raw["metadata"]["namespace"]
        begun = (
            run.metadata.name
            for run in runs
            if is_plan(run) and self._store.version(JOBS, namespace, _job_name(run))
        )
        return DeploymentView(raw, runs, frozenset(begun))

    def _runs(self, key: Key) -> list[FlowRun]:
        manifests = self._store.group(FLOW_RUNS, key.namespace, key.name)
        return [run for item in manifests if (run := _parse(item))]


class _RefusedPods:
    """The Events about Pods that were refused: read once a while for all runs of a namespace.

    Where many Jobs have no Pod, the cluster has trouble enough.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, tuple[float, asyncio.Task[list[dict[str, Any]]]]] = {}

    async def of(self, namespace: str, job_uid: str) -> list[dict[str, Any]]:
        """Return those about a Job."""
        now = asyncio.get_running_loop().time()
        since, reading = self._known.get(namespace, (float("-inf"), None))
        if reading is None or now - since > _EVENTS_LAST:
            fields = "involvedObject.kind=Job,reason=FailedCreate"
            read = self._cluster.list(EVENTS, namespace, fields=fields)
            reading = asyncio.create_task(read)
            self._known[namespace] = now, reading
        events = await asyncio.shield(reading)
        return [event for event in events if event["involvedObject"].get("uid") == job_uid]


def lists_unknown_runs(view: DeploymentView) -> bool:
    """Tell whether a run that has its place is not known: it need not be gone."""
    known = {run.metadata.name for run in view.runs}
    active = (view.raw.get("status") or {}).get("active") or []
    return any(entry.get("name") not in known for entry in active)


def _runs_count(view: DeploymentView) -> bool:
    """Tell whether what becomes of a tick depends on the other runs."""
    policy = view.raw["spec"].get("concurrencyPolicy", "Allow")
    return policy != "Allow" and not all(is_finished(run) for run in view.runs)


def should_have_a_pod(job: dict[str, Any], now: datetime) -> bool:
    """Tell whether a Job is old enough for its lack of a Pod to be a problem."""
    if job["spec"].get("suspend") or (job.get("status") or {}).get("conditions"):
        return False
    created = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    return now - created > POD_IS_LATE


def _job_name(run: FlowRun) -> str:
    return names.job_name(run.metadata.name, run.metadata.uid, current_attempt(run))


def _tells_snapshot(job: dict[str, Any]) -> bool:
    return names.ANNOTATION_SNAPSHOT in (job["metadata"].get("annotations") or {})


def _pods_are_over(job: dict[str, Any], pods: list[dict[str, Any]]) -> bool:
    """Tell whether the Job has ended, or is stopped, and no Pod that is known has."""
    conditions = (job.get("status") or {}).get("conditions") or []
    ended = any(condition.get("status") == "True" for condition in conditions)
    if not ended and not job["spec"].get("suspend"):
        return False
    return not _have_ended(pods)


def _have_ended(pods: list[dict[str, Any]]) -> bool:
    phases = {(pod.get("status") or {}).get("phase") for pod in pods}
    return bool(phases & {"Succeeded", "Failed"})


def _parse(manifest: dict[str, Any]) -> FlowRun | None:
    """Return the run, or None when it was stored under a schema that this release cannot read."""
    try:
        return FlowRun.model_validate(manifest)
    except ValidationError:
        logger.debug("FlowRun %s cannot be read", manifest["metadata"]["name"])
        return None
