"""What the API server had when it was last seen, in memory: by watches, reads and own writes.

It is a hint. It may be older than what the API server has, by as much as a watch may be late; a
decision that cannot be taken back is confirmed by a read first (see `observe`). It is never older
than what this process wrote itself.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, WATCHED, Resource
from flow_operator.shell.echoes import Echoes
from flow_operator.shell.keys import Concern, Key
from flow_operator.shell.records import Manifest, Record, record_of, version_of

_REMEMBERED_SECONDS = 120.0
"""How long an object is known to be gone: an answer that is late must not bring it back."""

Name = tuple[str, str]
"""Namespace and name."""


class Store:
    """The objects of the kinds that are watched.

    Args:
        changed: Takes what a change is about. What is known already is no change.
        clock: A clock that never goes back, in seconds.

    Attributes:
        echoes: What the watches need not tell.
    """

    def __init__(
        self, changed: Callable[[Concern], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.echoes = Echoes()
        self._changed = changed
        self._clock = clock
        self._tables: dict[str, dict[Name, Record]] = {kind.kind: {} for kind in WATCHED}
        self._groups: dict[tuple[str, str, str], dict[Name, None]] = {}
        self._gone: dict[str, float] = {}  # since when, oldest first
        self._written: dict[str, float] = {}

    def take(self, record: Record, concern: Concern) -> bool:
        """Take note of an object; return whether that was news."""
        if record.uid in self._gone:
            return False
        name = (record.namespace, record.name)
        known = self._tables[record.kind].get(name)
        if known and known.version >= record.version:
            return False
        if known:
            self._remove(known)
        self._tables[record.kind][name] = record
        if record.group:
            group = (record.kind, record.namespace, record.group)
            self._groups.setdefault(group, {})[name] = None
        self._changed(concern)
        return True

    def _is_known(self, record: Record) -> bool:
        known = self._tables[record.kind].get((record.namespace, record.name))
        return known is not None and known.body == record.body

    def renew(self, record: Record, concern: Concern) -> None:
        """Take note of an object that a watch shows: of its version alone if that is all.

        Much of what the kubelet and the Job controller write is nothing to decide on.
        """
        self.take(record, Concern() if self._is_known(record) else concern)

    def drop(self, record: Record, concern: Concern) -> None:
        """Take note that an object is gone."""
        now = self._clock()
        self._gone.setdefault(record.uid, now)
        while now - self._gone[oldest := next(iter(self._gone))] > _REMEMBERED_SECONDS:
            del self._gone[oldest]
        self._written.pop(record.uid, None)
        known = self._tables[record.kind].get((record.namespace, record.name))
        if known and known.uid == record.uid:
            self._remove(known)
        over = record.uid if record.kind == FLOW_RUNS.kind else ""
        self._changed(concern._replace(over=over))

    def saw(self, resource: Resource, manifest: Manifest) -> None:
        """Take note of an object that was read."""
        self.take(*record_of(resource, manifest))

    async def write(self, resource: Resource, answer: Awaitable[Manifest]) -> None:
        """Wait for the answer to a write, and take note of it."""
        with self.echoes.writing(resource.plural):
            self.wrote(resource, await answer)

    def wrote(self, resource: Resource, manifest: Manifest) -> None:
        """Take note of an object as the API server answered a write with it."""
        record, concern = record_of(resource, manifest)
        if resource is JOBS:  # what comes of it is only to be put on record, too
            concern = Concern(later=concern.now + concern.later)
        self.echoes.expect(record.version)
        self.take(record, concern)
        if record.uid not in self._gone:  # even if a watch was quicker to tell
            self._written[record.uid] = self._clock()

    def gone(self, resource: Resource, namespace: str, name: str) -> None:
        """Take note that the API server has no object of that name."""
        known = self._tables[resource.kind].get((namespace, name))
        if known:
            self.drop(*record_of(resource, known.manifest()))

    def only_news(self, listed: dict[str, Any]) -> dict[str, Any]:
        """Return a list without the objects that are known as they are; ask in any thread.

        A process that has read everything itself would spend a minute of processor time on kopf's
        first look at 10,000 deployments and what belongs to them.
        """
        table = self._tables.get(str(listed.get("kind", "")).removesuffix("List"))
        if table is None:
            return listed
        news = []
        for item in listed.get("items") or []:
            known = table.get((item["metadata"]["namespace"], item["metadata"]["name"]))
            if known is None or known.version < version_of(item):
                news.append(item)
        return listed | {"items": news}

    def now(self) -> float:
        """Return the time that `written_at` goes by, in seconds."""
        return self._clock()

    def written_at(self, uid: str) -> float:
        """Return when this process last wrote an object; infinitely long ago: never."""
        return self._written.get(uid, float("-inf"))

    def version(self, resource: Resource, namespace: str, name: str) -> int:
        """Return the resourceVersion of an object as a number; 0: it is not known."""
        record = self._tables[resource.kind].get((namespace, name))
        return record.version if record else 0

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object."""
        record = self._tables[resource.kind].get((namespace, name))
        return record.manifest() if record else None

    def group(self, resource: Resource, namespace: str, group: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment by its name, or the Pods of a Job by its UID."""
        table = self._tables[resource.kind]
        names = self._groups.get((resource.kind, namespace, group), ())
        return [table[name].manifest() for name in names]

    def open_runs(self) -> list[dict[str, Any]]:
        """Return the FlowRuns that have not ended."""
        runs = self._tables[FLOW_RUNS.kind].values()
        return [record.manifest() for record in runs if record.open]

    def records(self, resource: Resource) -> Iterator[Record]:
        """Yield all that is kept of a kind; take nothing meanwhile."""
        yield from self._tables[resource.kind].values()

    def keys(self) -> list[Key]:
        """Return the keys of all deployments, and of all runs that have not ended."""
        return [
            Key(record.kind, record.namespace, record.name)
            for resource in (FLOW_DEPLOYMENTS, FLOW_RUNS)
            for record in self.records(resource)
            if record.open or resource is FLOW_DEPLOYMENTS
        ]

    def _remove(self, record: Record) -> None:
        name = (record.namespace, record.name)
        del self._tables[record.kind][name]
        group = (record.kind, record.namespace, record.group)
        if members := self._groups.get(group):
            members.pop(name, None)
            if not members:
                del self._groups[group]
