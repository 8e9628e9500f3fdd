"""Keeps the ledger of active runs in step with the cluster, where the settings limit their number.

Nothing here is durable: a run that was let go ahead says so in its own status, from which a new
process starts. Without limits there is no ledger and nothing is read.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from flow_operator.api.v1alpha1 import Phase
from flow_operator.core.ledger import Entry, Ledger
from flow_operator.core.settings import Settings
from flow_operator.shell.cluster import FLOW_RUNS, Cluster
from flow_operator.shell.keys import Key, run_key

_RELOAD_SECONDS = 300.0
"""After how long the ledger is read anew, for what may have been missed."""


class Room:
    """Lets runs go ahead while there is room for them.

    Args:
        wake: Takes the keys of the runs whose turn it is.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        scopes: Iterable[str | None],
        wake: Callable[..., None],
    ) -> None:
        self._cluster = cluster
        self._scopes = list(scopes)
        self._wake = wake
        self._ledger: Ledger | None = None
        if settings.max_active_runs or settings.max_active_runs_per_namespace:
            self._ledger = Ledger(settings.max_active_runs, settings.max_active_runs_per_namespace)
        self._loading = asyncio.Lock()
        self._loaded = float("-inf")
        self._known: dict[Key, str] = {}

    async def ask(self, raw: dict[str, Any]) -> str | None:
        """Return why a run that could start has to wait, or None once it has room."""
        if self._ledger is None:
            return None
        await self._load(self._ledger)
        entry = entry_of(raw)
        self._known[run_key(entry.namespace, entry.name)] = entry.uid
        return self._ledger.request(entry)

    def over(self, key: Key) -> None:
        """Take note that a run has ended or is gone."""
        uid = self._known.pop(key, None)
        if self._ledger is None or uid is None:
            return
        given = self._ledger.leave(uid)
        self._wake(*(run_key(entry.namespace, entry.name) for entry in given))

    async def _load(self, ledger: Ledger) -> None:
        async with self._loading:
            now = asyncio.get_running_loop().time()
            if now - self._loaded < _RELOAD_SECONDS:
                return
            found: list[dict[str, Any]] = []
            for scope in self._scopes:
                found += await self._cluster.list(FLOW_RUNS, scope)
            entries = [entry_of(raw) for raw in found if not _is_over(raw)]
            ledger.load(entries)
            self._known = {run_key(entry.namespace, entry.name): entry.uid for entry in entries}
            self._loaded = now


def entry_of(raw: dict[str, Any]) -> Entry:
    """Return what the ledger knows of a run."""
    meta, status = raw["metadata"], raw.get("status") or {}
    return Entry(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        deployment=raw["spec"]["deploymentRef"]["name"],
        created=meta["creationTimestamp"],
        started=bool(status.get("resolvedSpec")) and status.get("phase") != Phase.QUEUED,
    )


def _is_over(raw: dict[str, Any]) -> bool:
    return bool((raw.get("status") or {}).get("completionTime"))
