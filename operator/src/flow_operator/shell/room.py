"""Keeps the ledger of active runs in step with the store, where the settings limit their number.

Nothing here is durable: a run that was let go ahead says so in its own status, from which a new
leader starts. What its watches have not told it yet may make the runs more than the limit for a
moment. Without limits there is no ledger.
"""

import time
from collections.abc import Callable
from typing import Any

from flow_operator.api.v1alpha1 import Phase
from flow_operator.core.ledger import Entry, Ledger
from flow_operator.core.settings import Settings
from flow_operator.shell.keys import Key, run_key
from flow_operator.shell.store import Store

_RELOAD_SECONDS = 300.0
"""After how long the ledger is made anew, for what may have been missed."""


class Room:
    """Lets runs go ahead while there is room for them.

    Args:
        store: The runs that there are.
        settings: The limits.
        wake: Takes the keys of the runs whose turn it is.
    """

    def __init__(self, store: Store, settings: Settings, wake: Callable[..., None]) -> None:
        self._store = store
        self._wake = wake
        self._settings = settings
        self.forget()

    def forget(self) -> None:
        """Start anew from the store: others have let runs go ahead meanwhile."""
        limits = self._settings.max_active_runs, self._settings.max_active_runs_per_namespace
        self._ledger = Ledger(*limits) if self._settings.limits_runs else None
        self._loaded = float("-inf")

    def ask(self, raw: dict[str, Any]) -> str | None:
        """Return why a run has to wait that could start; None: it has started, or has room."""
        if self._ledger is None:
            return None
        self._load(self._ledger)
        return self._ledger.request(entry_of(raw))

    def leave(self, uid: str) -> None:
        """Take note that a run has ended, is gone, or cannot start for now."""
        if self._ledger is not None:
            self._wake(*map(_key, self._ledger.leave(uid)))

    def __len__(self) -> int:
        """How many runs have room."""
        return len(self._ledger) if self._ledger else 0

    def _load(self, ledger: Ledger) -> None:
        now = time.monotonic()
        if now - self._loaded < _RELOAD_SECONDS:
            return
        entries = [entry_of(raw) for raw in self._store.open_runs()]
        if self._loaded > float("-inf"):  # who could not start has left the line
            entries = [entry for entry in entries if entry.started or entry in ledger]
        self._loaded = now
        self._wake(*map(_key, ledger.load(entries)))


def _key(entry: Entry) -> Key:
    return run_key(entry.namespace, entry.name)


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
