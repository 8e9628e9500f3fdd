"""One level-based reconcile: look at what is there, decide, write what is missing.

A run that succeeds at its first attempt costs 12 writes as a rule. Two creates make it (FlowRun,
Job); of a tick the FlowRun is made ahead as a rule (`core.ahead`), and the decision about the
deployment, which lets it begin, makes the Job. The status of the FlowRun is written up to four
times (Job created, fetching, running, ended), the deployment's as often (the trigger with the run
as pending, then as fetching, running, ended). Two are Events (FlowRun created, ended). Changes that
come together are written together, and what only says how far a run is waits until the last write
is `PROGRESS_SECONDS` ago: a run that takes no longer than that costs 7. A revision that becomes
known after the phase was written costs 2 more. Where runs are counted one or two more come before
the Job: the run's status says that it is queued, and that it has started.

It costs no reads but one of the deployment before the first run since this process leads, unless
it was made or edited since then. What others wait for goes first: the run and its Job; the rest
when there is less to do.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flow_operator.core.decision import Action, CreateJob, Decision, Refusal
from flow_operator.core.deployments import decide_deployment
from flow_operator.core.runs import RunView, decide_run, needs_room
from flow_operator.core.settings import Settings
from flow_operator.shell.apply import apply
from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, Cluster
from flow_operator.shell.errors import ConflictError, NamespaceGoneError
from flow_operator.shell.keys import Key
from flow_operator.shell.observe import (
    POD_IS_LATE,
    DeploymentView,
    Observer,
    lists_unknown_runs,
    should_have_a_pod,
    utc_now,
)
from flow_operator.shell.room import Room
from flow_operator.shell.store import Store

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 1.0
"""How long a write that only says how far a run is waits after the one before it."""

_LOOK_FOR_POD = 30.0


class Reconciler:
    """Brings one FlowDeployment or FlowRun closer to what it should be.

    But for who has room, it keeps nothing between two calls: whatever happened before, and whoever
    did it, the next call starts from what there is.

    Args:
        cluster: Where to write.
        store: What there is; takes what was written.
        settings: The administrator's settings.
        room: Tells whether the operator as a whole has room for a run.
        leads: Whether this process may write. While it may not, it decides all the same, and
            remembers what there would have been to do.
        postpone: Has a key looked at again once there is less to do, if there is much to do now.
        clock: Tells the time, in UTC.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        settings: Settings,
        room: Room,
        leads: Callable[[], bool] = lambda: True,
        *,
        postpone: Callable[[Key], bool] = lambda _: False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._settings = settings
        self._room = room
        self._leads = leads
        self._postpone = postpone
        self._clock = clock
        self._observer = Observer(cluster, store, clock)
        self._left: dict[Key, None] = {}

    async def __call__(self, key: Key) -> float | None:
        """Look at an object once.

        Returns:
            In how many seconds to look again, whatever happens; None: when something changes.

        Raises:
            ClusterError: The API server did not do its part. Try again later.
        """
        self._left.pop(key, None)
        try:
            if key.kind == FLOW_DEPLOYMENTS.kind:
                return await self._deployment(key)
            return await self._run(key)
        except ConflictError:
            await self._observer.refresh(key)
            return 0.0  # it changed or went away meanwhile: look at what is there now
        except NamespaceGoneError as error:
            logger.debug("%s: %s", key, error)
            return None

    def take_over(self) -> list[Key]:
        """Return what there was to do while this process did not lead, oldest first."""
        self._room.forget()
        self._observer.forget()
        left, self._left = list(self._left), {}
        return left

    async def _deployment(self, key: Key) -> float | None:
        view = self._observer.deployment(key)
        if view is None:
            return None
        now = self._now()
        decision = self._decide(view, now)
        if not self._leads():
            return self._leave_to_leader(key, decision, now)
        if decision.commits or (decision.actions and lists_unknown_runs(view)):
            confirmed = await self._observer.confirm_deployment(key, view)
            if confirmed is None:
                return None
            if confirmed is not view:
                view = confirmed
                decision = self._decide(view, now)
        if wait := self._too_soon(view.raw, decision):
            return wait
        actions = self._pressing(key, decision)
        refusal = await apply(self._cluster, self._store, FLOW_DEPLOYMENTS, view.raw, actions)
        if refusal:
            decision = self._decide(view, now, refusal)
            await apply(self._cluster, self._store, FLOW_DEPLOYMENTS, view.raw, decision.actions)
        return self._seconds_left(decision.requeue_after, now)

    def _decide(
        self, view: DeploymentView, now: datetime, refusal: Refusal | None = None
    ) -> Decision:
        return decide_deployment(
            view.raw, view.runs, now, refusal, settings=self._settings, begun=view.begun
        )

    async def _run(self, key: Key) -> float | None:
        view = await self._observer.run(key)
        if view is None:
            return None
        leads = self._leads()
        if leads and self._settings.limits_runs:
            view = self._in_line(key, view)
        now = self._now()
        decision = decide_run(view, now, self._settings)
        if not leads:
            return self._leave_to_leader(key, decision, now)
        if any(isinstance(action, CreateJob) for action in decision.actions):
            confirmed = await self._observer.confirm_run(key, view)
            if confirmed is None:
                return 0.0
            if confirmed is not view:
                view = confirmed
                decision = decide_run(view, now, self._settings)
        if decision.ends_run:
            confirmed = await self._observer.confirm_end(view)
            if confirmed is not view:
                view = confirmed
                decision = decide_run(view, now, self._settings)
        if wait := self._too_soon(view.raw, decision):
            return wait
        actions = self._pressing(key, decision)
        refusal = await apply(self._cluster, self._store, FLOW_RUNS, view.raw, actions)
        if refusal:
            decision = decide_run(view, now, self._settings, refusal)
            await apply(self._cluster, self._store, FLOW_RUNS, view.raw, decision.actions)
        return self._seconds_left(_earliest(decision.requeue_after, self._until_pod(view)), now)

    def _in_line(self, key: Key, view: RunView) -> RunView:
        """Let a run ask for room of the operator as a whole, or leave what it cannot use.

        It may be gone since it was looked at: nobody would tell that once more.
        """
        meta = view.raw["metadata"]
        there = self._store.get(FLOW_RUNS, meta["namespace"], meta["name"])
        if there and there["metadata"]["uid"] == meta["uid"] and needs_room(view):
            return replace(view, held=self._room.ask(view.raw))
        self._room.leave(meta["uid"])
        return view

    def _leave_to_leader(self, key: Key, decision: Decision, now: datetime) -> float | None:
        if decision.actions:
            self._left[key] = None
            return None
        return self._seconds_left(decision.requeue_after, now)

    def _too_soon(self, raw: dict[str, Any], decision: Decision) -> float | None:
        """Return how long to wait with a write that only says how far a run is."""
        if not decision.may_wait:
            return None
        since = self._store.now() - self._store.written_at(raw["metadata"]["uid"])
        left = PROGRESS_SECONDS - since
        return left if left > 0 else None

    def _pressing(self, key: Key, decision: Decision) -> tuple[Action, ...]:
        """Return what to do now; the rest is decided anew when there is less to do."""
        pressing = decision.actions[: decision.pressing]
        if len(pressing) < len(decision.actions) and self._postpone(key):
            return pressing
        return decision.actions

    def _until_pod(self, view: RunView) -> float | None:
        """Return when to look for what keeps a Job from having a Pod, for no watch tells."""
        if view.job is None or view.pods:
            return None
        late = should_have_a_pod(view.job, self._clock())
        return _LOOK_FOR_POD if late else POD_IS_LATE.total_seconds() + 1.0

    def _seconds_left(self, after: float | None, now: datetime) -> float | None:
        """Return what is left of a wait that counts from the time of the decision.

        Without it a tick would be up to a second late, and by what the writes took.
        """
        if after is None:
            return None
        return max((now + timedelta(seconds=after) - self._clock()).total_seconds(), 0.0)

    def _now(self) -> datetime:
        """Return the time in whole seconds, as Kubernetes writes it."""
        return self._clock().replace(microsecond=0)


def _earliest(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)
