"""One level-based reconcile: read what is there, decide, write what is missing.

A run that succeeds at its first attempt costs 15 writes. Two creates make it (FlowRun, Job). The
status of the FlowRun is written five times (taken up, Job created, fetching, running, ended), and
so is the deployment's (the trigger, then the run as pending, fetching, running, ended). Three are
Events (FlowRun created, Job created, ended). Changes that come together are written together.

Reads, each time something changes: two for a deployment; for a run one when it has ended, two
before its Job exists, three from then on. About forty for a whole run; nothing at rest.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flow_operator.core.decision import CreateJob, Decision
from flow_operator.core.deployments import decide_deployment
from flow_operator.core.runs import decide_run, may_start
from flow_operator.core.settings import Settings
from flow_operator.shell.apply import apply
from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, Cluster
from flow_operator.shell.errors import ConflictError, NamespaceGoneError
from flow_operator.shell.keys import Key
from flow_operator.shell.observe import observe_deployment, observe_run
from flow_operator.shell.room import Room

logger = logging.getLogger(__name__)

_LOOK_AFTER_CREATE = 10.0
"""Seconds after which a new Job is looked at, should the watch not have reported it by then."""


class Reconciler:
    """Brings one FlowDeployment or FlowRun closer to what it should be.

    But for who has room, it keeps nothing between two calls: whatever happened before, and whoever
    did it, the next call starts from what the API server has.
    """

    def __init__(self, cluster: Cluster, settings: Settings, room: Room) -> None:
        self._cluster = cluster
        self._settings = settings
        self._room = room

    async def __call__(self, key: Key) -> float | None:
        """Look at an object once.

        Returns:
            In how many seconds to look again, whatever happens; None: when something changes.

        Raises:
            ClusterError: The API server did not do its part. Try again later.
        """
        try:
            if key.kind == FLOW_DEPLOYMENTS.kind:
                return await self._deployment(key)
            return await self._run(key)
        except ConflictError:
            return 0.0  # it changed or went away meanwhile: look at what is there now
        except NamespaceGoneError as error:
            logger.debug("%s: %s", key, error)
            return None

    async def _deployment(self, key: Key) -> float | None:
        view = await observe_deployment(self._cluster, key)
        if view is None:
            return None
        now = _now()
        decision = decide_deployment(view.raw, view.runs, now)
        refusal = await apply(self._cluster, FLOW_DEPLOYMENTS, view.raw, decision.actions)
        if refusal:
            decision = decide_deployment(view.raw, view.runs, now, refusal)
            await apply(self._cluster, FLOW_DEPLOYMENTS, view.raw, decision.actions)
        return _seconds_left(decision.requeue_after, now)

    async def _run(self, key: Key) -> float | None:
        view = await observe_run(self._cluster, key)
        if view is None:
            self._room.over(key)
            return None
        if may_start(view):
            view = replace(view, held=await self._room.ask(view.raw))
        now = _now()
        decision = decide_run(view, now, self._settings)
        refusal = await apply(self._cluster, FLOW_RUNS, view.raw, decision.actions)
        if refusal:
            decision = decide_run(view, now, self._settings, refusal)
            await apply(self._cluster, FLOW_RUNS, view.raw, decision.actions)
        if decision.ends_run:
            self._room.over(key)
        return _seconds_left(_look_again(decision), now)


def _look_again(decision: Decision) -> float | None:
    if decision.requeue_after is None and any(
        isinstance(action, CreateJob) for action in decision.actions
    ):
        return _LOOK_AFTER_CREATE
    return decision.requeue_after


def _seconds_left(after: float | None, now: datetime) -> float | None:
    """Return what is left of a wait that counts from the time of the decision, in whole seconds.

    Without it a tick would be up to a second late, and by what the writes took.
    """
    if after is None:
        return None
    return max((now + timedelta(seconds=after) - datetime.now(UTC)).total_seconds(), 0.0)


def _now() -> datetime:
    """Return the time in whole seconds, as Kubernetes writes it."""
    return datetime.now(UTC).replace(microsecond=0)
